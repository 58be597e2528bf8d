package jsontext

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Explain returns the error of decoding data with package json in words of JSON, where
// that package names types of this program, and its line; 0 if that is not known.
func Explain(data []byte, err error) (line int, explained error) {
	offset := int64(-1)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset, err = wrong.Offset, wrongKind(wrong)
	} else if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	}
	if offset >= 0 {
		line = 1 + bytes.Count(data[:min(offset, int64(len(data)))], []byte("\n"))
	}
	return line, err
}

// ExplainLine returns the error that [Explain] does, behind its line if that is known.
func ExplainLine(data []byte, err error) error {
	line, err := Explain(data, err)
	if line > 0 {
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// wrongKind returns the error for a value of another kind than is wanted.
func wrongKind(err *json.UnmarshalTypeError) error {
	field, wanted := cmp.Or(err.Field, "the value"), kindOf(err.Type)
	if number, ok := strings.CutPrefix(err.Value, "number "); ok {
		return fmt.Errorf("%s must be %s, and is %s: a whole number has no exponent, and none may be too large", field, wanted, number)
	}
	is := map[string]string{"string": "a text", "number": "a number", "bool": "true or false", "array": "a list", "object": "an object"}[err.Value]
	return fmt.Errorf("%s must be %s, and is %s", field, wanted, cmp.Or(is, err.Value))
}

// kindOf returns what JSON calls the values of a type.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "something else"
	}
}
