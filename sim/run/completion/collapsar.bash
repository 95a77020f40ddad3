# bash completion of collapsar. The words come from the program itself: `collapsar complete WORD...` answers for the last.

_collapsar() {
  local program=${COMP_WORDS[0]/#\~/$HOME} current=${COMP_WORDS[COMP_CWORD]} prefix= line pattern i
  local -a words=()
  # readline takes KEY=VALUE for three words.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    if ((${#words[@]} > 0)) && [[ $COMP_WORDBREAKS == *=* ]] &&
      [[ ${COMP_WORDS[i]} == = || (${COMP_WORDS[i - 1]} == = && -n ${COMP_WORDS[i]}) ]]; then
      words[-1]+=${COMP_WORDS[i]}
    else
      words+=("${COMP_WORDS[i]}")
    fi
  done
  if [[ $COMP_WORDBREAKS == *=* && ${words[-1]} == *=* ]]; then prefix=${words[-1]%=*}=; fi
  [[ $current == = ]] && current=

  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      $'\tfiles')
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$current")
        compopt -o filenames 2>/dev/null
        ;;
      $'\tfiles '*)
        pattern=${line#*files }
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$current"; compgen -f -X "!$pattern" -- "$current")
        compopt -o filenames 2>/dev/null
        ;;
      $'\tdirectories')
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$current")
        compopt -o filenames 2>/dev/null
        ;;
      $'\tcommands')
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -c -- "$current")
        ;;
      *)
        line=${line%%$'\t'*}
        [[ $line == *[=.] ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("${line#"$prefix"}")
        ;;
    esac
  done < <("$program" complete "${words[@]}" 2>/dev/null)
}

complete -F _collapsar collapsar
