package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// dollarsValue is a flag of an amount in US dollars, 0 or more.
type dollarsValue struct{ to *float64 }

func (v dollarsValue) Set(text string) error {
	usd, err := strconv.ParseFloat(strings.TrimPrefix(text, "$"), 64)
	if err != nil || math.IsNaN(usd) || math.IsInf(usd, 0) || usd < 0 {
		return errors.New("must be 0 or more US dollars, such as 0.50")
	}
	*v.to = usd
	return nil
}

func (v dollarsValue) String() string {
	if v.to == nil { // of the zero value, which pflag makes
		return "0"
	}
	return strconv.FormatFloat(*v.to, 'f', -1, 64)
}

func (dollarsValue) Type() string { return "USD" }
