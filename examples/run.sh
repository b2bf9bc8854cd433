#!/bin/sh
# Serves on the embedded stores, plays a week of a small company into the server
# and goes on live. Ctrl-C ends both.
set -eu

# http_url ADDRESS: where a listener is reached from here.
http_url() {
	case $1 in
	:* | 0.0.0.0:* | '[::]:'*) printf 'http://127.0.0.1:%s\n' "${1##*:}" ;;
	*) printf 'http://%s\n' "$1" ;;
	esac
}

addr=${LISTEN_ADDR:-${PORT:+:$PORT}}
addr=${addr:-127.0.0.1:8080}
url=$(http_url "$addr")
admin=$(http_url "${ADMIN_ADDR:-$addr}")

# What there is to look at.
hints() {
	cat <<-END

		Look around, from another terminal:

		  curl -s '$url/api/builds?state=failed&limit=5'
		  curl -s $url/api/builds/acme/web/42
		  curl -s $url/api/builds/acme/web/42/events
		  curl -s '$url/api/events?limit=5'
		  curl -s $admin/metrics

	END
}

data=${DATA_DIR:-./data}
played=
if [ -e "$data/events.db" ]; then played=yes; fi

said=$(mktemp -d)/said
mkfifo "$said"
trap 'rm -r "${said%/*}"' EXIT

./build-tracker serve &
server=$!
player=
trap : INT # the terminal's Ctrl-C reaches all of us
trap 'kill $server $player' TERM HUP

sleep 1
kill -0 "$server" 2>/dev/null || exit 1 # it has said why

if [ -n "$played" ]; then # again it would be the same builds under other ids
	echo "$data has what was played into it before. Remove that folder to begin anew."
	hints
	while kill -0 "$server" 2>/dev/null; do wait "$server" || true; done
	exit
fi

echo "Playing a week of builds into it. This takes some seconds."
./build-tracker simulate --url "$url" --builds 700 --days 7 --live 2>"$said" &
player=$!
exec 3<"$said"
while IFS= read -r line <&3; do
	printf '%s\n' "$line"
	case $line in Live*) hints ;; esac
done
cat <&3 # after Ctrl-C

# The server may have more to finish.
while kill -0 "$server" 2>/dev/null; do wait "$server" || true; done
