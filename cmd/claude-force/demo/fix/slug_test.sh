. ./slug.sh
failed=0

expect() {
	got=$(slug "$1")
	if [ "$got" != "$2" ]; then
		echo "FAIL: slug '$1' is $got, want $2"
		failed=1
	fi
}

expect 'Hello' 'hello'
expect 'Hello World' 'hello-world'
expect 'Hello   World' 'hello-world'

[ $failed = 0 ] && echo 'all passed'
exit $failed
