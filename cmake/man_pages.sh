#!/bin/sh
# man_pages.sh HELP2MAN PROGRAM DESCRIPTION FOLDER
# Writes collapsar.1 and a page per command and sub-command into FOLDER, from what --help and --version say. The same
# program gives the same bytes: pages carry the version, and no date.
set -eu
help2man=$1 program=$2 description=$3 folder=$4
export LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$("$program" --version | head -n 1)

commands_below() {
  "$program" "$@" --help | sed -n '/^Commands:$/,/^$/s/^  \([a-z][a-z-]*\)  */\1\t/p'
}

# Headings that help2man does not know become sections; examples become commands at a prompt; the command's words are bold.
shape() {
  sed -e 's/^\(Commands\|Exit status\):$/*\1*/' -e 's/^  collapsar /  $ collapsar /' \
      -e "s/^Usage: collapsar${1:+ }$1/Usage: $page/"
}

see_also() {
  echo '[SEE ALSO]'
  for each in "$@"; do
    [ "$each" = "$page" ] || echo ".BR $each (1),"
  done | sed '$s/,$//'
}

# page NAME OF ITS PAGE, what it is, pages to see, the command's words...
make_page() {
  page=$1 what=$2 others=$3
  shift 3
  others="$others $(commands_below "$@" | sed "s/^\([a-z-]*\).*/$page-\1/")"
  "$program" "$@" --help | shape "$*" >"$work/help"
  "$program" --version | sed "1s/^collapsar/$page/" >"$work/version"
  see_also $others >"$work/see"
  "$help2man" --no-info --name="$what" --source="$version" --include="$work/see" --output="$work/page" \
    --help-option="$work/help" --version-option="$work/version" cat
  sed -e "s/^\(\.TH [^ ]* \"1\" \)\"[^\"]*\"/\1\"\"/" -e "s/^\.B $page\$/.B collapsar${*:+ $*}/" "$work/page" >"$folder/$page.1"
}

make_below() {
  commands_below "$@" >"$work/below$#"
  siblings="collapsar${1:+ collapsar-$1} $(sed "s/^\([a-z-]*\).*/collapsar${1:+-$1}-\1/" "$work/below$#")"
  while IFS="$(printf '\t')" read -r name summary <&3; do
    make_page "collapsar${1:+-$1}-$name" "$summary" "$siblings" "$@" "$name"
  done 3<"$work/below$#"
}

mkdir -p "$folder"
rm -f "$folder"/*.1
make_below
while read -r name _ <&4; do
  if [ -n "$(commands_below "$name")" ]; then make_below "$name"; fi
done 4<"$work/below0"
make_page collapsar "$description" ""  # last: the build takes it for all of them
