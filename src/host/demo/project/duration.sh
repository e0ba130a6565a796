# Writes a number of seconds the way people do: 75 becomes 1m15s.

duration() {
    hours=$(($1 / 3600))
    minutes=$(($1 / 60))
    seconds=$(($1 % 60))

    text=
    [ "$hours" -eq 0 ] || text="${hours}h"
    [ "$minutes" -eq 0 ] || text="$text${minutes}m"
    [ "$seconds" -eq 0 ] && [ -n "$text" ] || text="$text${seconds}s"
    echo "$text"
}
