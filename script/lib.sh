# Shared by the scripts: the virtual environment with the pinned packages. Sourced from the project's folder.

python=${PYTHON:-python3}

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 2
}

# no_arguments "$@": --help prints the comment at the top of the script; anything else is refused.
no_arguments() {
    [ $# -gt 0 ] || return 0
    case $1 in
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "script/$(basename "$0")" && exit 0 ;;
    *) fail "there is no $1 here; script/$(basename "$0") --help says what there is" ;;
    esac
}

# ensure_venv requirements.txt: .venv has exactly what the file pins; quick when nothing changed.
ensure_venv() {
    command -v "$python" >/dev/null || fail "Python 3.11 or newer is needed, and there is no $python here"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed; $python is $("$python" -V 2>&1). Set PYTHON to another one"
    local stamp=.venv/$1.installed wanted
    wanted=$(cat requirements.txt "$1" | sha256sum)
    if [ ! -x .venv/bin/python ]; then
        "$python" -m venv .venv || fail "no virtual environment could be made; on Debian: apt-get install python3-venv"
    fi
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        echo "Installing packages of $1 ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1"
        echo "$wanted" >"$stamp"
    fi
}
