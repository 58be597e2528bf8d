# slug prints a title as a part of a URL: in lower case, its words joined by dashes.
slug() {
	printf '%s' "$1" | tr 'A-Z' 'a-z' | tr ' ' '-'
}
