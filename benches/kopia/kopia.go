//go:build tools

// Package kopia names the kopia that benches compare with; scripts/setup-bench.sh builds it.
package kopia

import _ "github.com/kopia/kopia"
