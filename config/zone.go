package config

import (
	"errors"
	"strings"
	"time"
)

// zone reads a time zone: local, UTC or a name of the IANA database.
func zone(to **time.Location, text string) error {
	if strings.EqualFold(text, "local") {
		*to = time.Local
		return nil
	}
	loc, err := time.LoadLocation(text)
	if err != nil || text == "" {
		return errors.New("is no time zone; give local, UTC or a name such as Europe/Berlin")
	}
	*to = loc
	return nil
}

func zoneText(zone *time.Location) string {
	if zone == time.Local || zone == nil {
		return "local"
	}
	return zone.String()
}
