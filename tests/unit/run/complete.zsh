# complete.zsh PROGRAM 'collapsar WORDS': prints the line as zsh makes it when Tab is pressed at its end.
zmodload zsh/zpty
zpty shell TERM=dumb PS1= zsh -f -i
zpty -w shell "PATH=${1:h}:\$PATH; autoload -Uz compinit; compinit -D -u; source =(collapsar completion zsh); zle -C whole complete-word _main_complete"
zpty -w shell 'show() { print -r -- "<begin>$BUFFER<end>"; zle kill-whole-line }; zle -N show; bindkey "^X" show'
zpty -w shell 'zle-line-init() { print -rn -- "<re""ady>" }; zle -N zle-line-init'  # before that, keys may get lost
zpty -r -m shell line '*<ready>*'
zpty -w -n shell "$2"$'\t\x18'
zpty -r -m shell line '*<begin>*<end>*'
line=${line##*<begin>}
print -r -- "${line%%<end>*}"
zpty -d shell
