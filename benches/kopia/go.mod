module coffer.dev/bench/kopia

go 1.26.8

require github.com/kopia/kopia v0.21.1
