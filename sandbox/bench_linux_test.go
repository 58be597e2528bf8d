package sandbox

import "testing"

// What a command costs, by the layers around it.
func BenchmarkRun(b *testing.B) {
	Probe()
	dir := b.TempDir()
	run := func(b *testing.B, sys system, p Policy) {
		b.Helper()
		for b.Loop() {
			p.Limits = p.Limits.withDefaults()
			command := Command{Args: []string{"/bin/true"}, Dir: dir, Env: Environ(nil)}
			start := sys.start
			if p.Off {
				start = startOff
			}
			proc, err := start(b.Context(), p, command)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := proc.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	}
	p := Policy{Write: []string{dir}}
	b.Run("off", func(b *testing.B) { run(b, system{}, Policy{Off: true}) })
	b.Run("helper alone", func(b *testing.B) { run(b, system{}, p) })
	b.Run("namespaces", func(b *testing.B) { run(b, system{namespaces: true}, p) })
	b.Run("landlock", func(b *testing.B) { run(b, system{landlock: true}, p) })
	b.Run("seccomp", func(b *testing.B) { run(b, system{seccomp: true}, p) })
	b.Run("no cgroup", func(b *testing.B) {
		run(b, system{namespaces: true, landlock: true, seccomp: true}, p)
	})
	b.Run("all", func(b *testing.B) { run(b, found, p) })
}
