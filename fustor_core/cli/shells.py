"""The scripts that let bash, zsh and fish ask the program what TAB may offer.

Each passes the words up to the cursor to ``fustor complete -- WORD…`` and shows the lines that
come back; ``:files``, ``:folders`` and ``:open`` ask for the shell's own files, its folders, and no
blank behind the word.
"""

from __future__ import annotations

# bash cuts words at colons, too; what stood together in the line is put together again.
BASH = r"""_fustor() {
    local line=${COMP_LINE:0:COMP_POINT} rest lead word at=0 i front IFS
    local -a words=() found=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        rest=${line:at}
        lead=${rest%%[![:space:]]*}
        if ((i > 1)) && [[ -z $lead ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        at=$((at + ${#lead} + ${#word}))
    done
    while IFS=$'\t' read -r word _; do
        case $word in
            :files) compopt -o default ;;
            :folders) compopt -o dirnames ;;
            :open) compopt -o nospace ;;
            *) found+=("$word") ;;
        esac
    done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
    word=${COMP_WORDS[COMP_CWORD]}
    [[ $word == [:=] ]] && word=
    front=${words[${#words[@]} - 1]}
    front=${front%"$word"}
    COMPREPLY=()
    for word in "${found[@]}"; do
        COMPREPLY+=("$(printf '%q' "${word#"$front"}")")
    done
}
complete -F _fustor fustor
"""
ZSH = r"""_fustor() {
    local word what
    local -a shown behind
    while IFS=$'\t' read -r word what; do
        case $word in
            :files) _files ;;
            :folders) _files -/ ;;
            :open) behind=(-S '') ;;
            *) shown+=("${word//:/\\:}${what:+:$what}") ;;
        esac
    done < <("${words[1]}" complete -- "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)
    _describe -V fustor shown $behind
}
compdef _fustor fustor
"""
FISH = r"""function __fustor_complete
    set -l words (commandline -opc)
    for line in ($words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':folders'
                __fish_complete_directories (commandline -ct)
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete -c fustor -f -a '(__fustor_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
