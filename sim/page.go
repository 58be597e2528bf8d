package sim

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
)

// maxPage is the largest limit of a list.
const maxPage = 1000

// page is the API's JSON form of a part of a list.
type page[T any] struct {
	Data    []T     `json:"data"`
	HasMore bool    `json:"has_more"`
	First   *string `json:"first_id"`
	Last    *string `json:"last_id"`
}

// paginate returns the part of a list that a query's limit, after_id and
// before_id ask for.
func paginate[T any](list []T, query url.Values, id func(T) string) (page[T], *apiError) {
	limit := 20
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPage {
			return page[T]{}, invalid(fmt.Sprintf("limit: Input should be between 1 and %d", maxPage))
		}
	}
	index := func(name string) (int, *apiError) {
		i := slices.IndexFunc(list, func(v T) bool { return id(v) == query.Get(name) })
		if i < 0 {
			return 0, invalid(name + ": no entry has this id")
		}
		return i, nil
	}
	after, before := query.Get("after_id"), query.Get("before_id")
	from, to, more := 0, min(limit, len(list)), limit < len(list)
	switch {
	case after != "" && before != "":
		return page[T]{}, invalid("after_id and before_id cannot be combined")
	case after != "":
		i, err := index("after_id")
		if err != nil {
			return page[T]{}, err
		}
		from, to = i+1, min(len(list), i+1+limit)
		more = to < len(list)
	case before != "":
		i, err := index("before_id")
		if err != nil {
			return page[T]{}, err
		}
		from, to = max(0, i-limit), i
		more = from > 0
	}
	p := page[T]{Data: slices.Clone(list[from:to]), HasMore: more}
	if n := len(p.Data); n > 0 {
		p.First, p.Last = new(id(p.Data[0])), new(id(p.Data[n-1]))
	} else {
		p.Data = []T{}
	}
	return p, nil
}
