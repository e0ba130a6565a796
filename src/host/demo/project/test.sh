# Tests of duration.sh: sh test.sh

. ./duration.sh

failed=0

check() {
    found=$(duration "$1")
    if [ "$found" = "$2" ]; then
        echo "ok: $1 is $2"
    else
        echo "not ok: $1 should be $2, but is $found"
        failed=1
    fi
}

check 0 0s
check 59 59s
check 60 1m
check 75 1m15s
check 3600 1h
check 3675 1h1m15s
check 86399 23h59m59s

exit "$failed"
