# shellcheck shell=bash
# A private PostgreSQL server in a directory of its own: reached by a unix socket there, by nobody else, without TCP.
# Works for root too: a server refuses to run as root, so it runs as user postgres then. To be sourced.
#
#   server_find                    sets pg_bin; fails, saying what to install
#   server_make DIR [SETTING=VALUE…]  initdb and start; superuser is postgres
#   server_stop DIR
#
# Environment: PGBIN names the folder of the server's programs when several are installed.

server_find() {
    local found=() candidate
    pg_bin=${PGBIN:-}
    if [ -z "$pg_bin" ]; then
        mapfile -t found < <(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -Vr)
        if command -v pg_config >/dev/null; then
            found=("$(pg_config --bindir)" "${found[@]}")
        fi
        for candidate in "${found[@]}"; do
            if [ -x "$candidate/initdb" ]; then
                pg_bin=$candidate
                break
            fi
        done
    fi
    if [ ! -x "${pg_bin:-/nowhere}/initdb" ]; then
        echo "no PostgreSQL server programs found${PGBIN:+ in $PGBIN}: apt-get install postgresql, or set PGBIN" >&2
        return 1
    fi
}

# Runs a command as the user the server belongs to.
server_as() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && exec runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

server_make() {
    local dir=$1 setting
    shift
    if [ ${#dir} -gt 80 ]; then
        echo "the path $dir is too long for a unix socket: set TMPDIR to a shorter one" >&2
        return 1
    fi
    if [ "$(id -u)" = 0 ]; then
        chown postgres "$dir"
    fi
    server_as "$pg_bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 || {
        cat "$dir/initdb.log" >&2
        return 1
    }
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$dir'"
        for setting in "$@"; do
            echo "${setting%%=*} = '${setting#*=}'"
        done
    } >>"$dir/data/postgresql.conf"
    server_as "$pg_bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -w start >"$dir/start.log" 2>&1 || {
        cat "$dir/start.log" >&2
        tail -n 20 "$dir/data/server.log" >&2
        return 1
    }
}

server_stop() {
    if [ -f "$1/data/postmaster.pid" ]; then
        server_as "$pg_bin/pg_ctl" -D "$1/data" -m immediate -w stop >/dev/null 2>&1
    fi
}
