# bash completion for mexec, mexecvp, mpmake and mprun

# Names and labels come from this node's daemon; where none answers there is nothing to offer.
_mexec_nodes() {
	timeout 1 mexecctl nodes --json 2>/dev/null |
		sed -n 's/.*"name": *"\([^"]*\)".*/\1/p; s/.*"labels": *"\([^"]*\)".*/label:\1/p' | sed '/^label:/s/,/\nlabel:/g' | sort -u
}

# The last item of a list of nodes, of which bash has cut the word that begins at $1 at its colons.
_mexec_items() {
	local all before item cut
	printf -v all %s "${COMP_WORDS[@]:$1:COMP_CWORD-$1+1}"
	before=${all%"${all##*[,+]}"} cut=${all%"${COMP_WORDS[COMP_CWORD]}"}
	[[ ${COMP_WORDS[COMP_CWORD]} == : ]] && cut=$all
	for item in $(compgen -W "$(_mexec_nodes)" -- "${all#"$before"}"); do
		item=$before$item
		COMPREPLY+=("${item#"$cut"}")
	done
}

# The modes behind --rerun=, which bash has cut at the sign. False: nothing of that.
_mexec_rerun() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	if [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $cur == = ]]; then
		cur=
	else
		return 1
	fi
	[[ $prev == --rerun ]] && COMPREPLY=($(compgen -W "never safe slow always" -- "$cur"))
}

_mexec() {
	local cur prev i from=0
	COMPREPLY=()
	_mexec_rerun && return
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-n)
			from=$((++i))
			while [[ ${COMP_WORDS[i + 1]} == : ]]; do ((i += 2)); done
			((i < COMP_CWORD)) && from=0
			;;
		-a | --report | --trace) ((i++)) ;;
		--) ((i++)); break ;;
		-*) ;;
		*) break ;;
		esac
	done
	if ((from)); then
		_mexec_items $from
		return
	fi
	if ((i < COMP_CWORD)) || [[ ${COMP_WORDS[i - 1]} == -- ]]; then
		if declare -F _comp_command_offset >/dev/null; then
			_comp_command_offset $i
		elif declare -F _command_offset >/dev/null; then
			_command_offset $i
		fi
		return
	fi
	cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	case $prev in
	-a) ;;
	--report | --trace) COMPREPLY=($(compgen -f -- "$cur")) ;;
	*)
		if [[ $cur == -* ]]; then
			case $1 in
			*mprun) COMPREPLY=($(compgen -W "--quiet --report --trace --explain --rerun= --help --version --" -- "$cur")) ;;
			*) COMPREPLY=($(compgen -W "-n -a -p -v --no-stdin --rerun= --help --version --" -- "$cur")) ;;
			esac
		else
			COMPREPLY=($(compgen -c -- "$cur"))
		fi
		;;
	esac
}
complete -o default -F _mexec mexec mexecvp mprun

# mpmake takes what make takes, and options of its own, of which those with an = are completed.
_mpmake() {
	local cur=${COMP_WORDS[COMP_CWORD]}
	_mexec_rerun && return
	if [[ $cur == --re[pr]* || $cur == --trace= ]]; then
		compopt -o nospace
		COMPREPLY=($(compgen -W "--report= --rerun= --trace=" -- "$cur"))
		return
	fi
	declare -F _make >/dev/null || _completion_loader make 2>/dev/null
	if declare -F _comp_cmd_make >/dev/null; then
		_comp_cmd_make "$@"
	elif declare -F _make >/dev/null; then
		_make "$@"
	fi
}
complete -o default -F _mpmake mpmake
