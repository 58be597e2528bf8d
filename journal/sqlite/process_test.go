package sqlite_test

func work(string) error { return nil }
