package main

func main() { println(sum(1, 2)) }

func sum(a, b int) int { return a + b }
