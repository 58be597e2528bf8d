//go:build !darwin && !linux && !freebsd && !dragonfly && !windows

package oslimit

import "errors"

func free(string) (uint64, error) { return 0, errors.ErrUnsupported }
