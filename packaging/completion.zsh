#compdef mexec mexecvp mpmake mprun

_mexec_nodes() {
	local -a items
	items=(${(f)"$(timeout 1 mexecctl nodes --json 2>/dev/null |
		sed -n 's/.*"name": *"\([^"]*\)".*/\1/p; s/.*"labels": *"\([^"]*\)".*/label:\1/p' | sed '/^label:/s/,/\nlabel:/g' | sort -u)"})
	compset -P '*[,+]'
	compadd -S '' -a items
}

case $service in
mpmake)
	case $PREFIX in
	--re[pr]*)
		_arguments -S '--report=[write a page about the build]:file:_files' '--rerun=[run commands of lost nodes again]:mode:(never safe slow always)'
		;;
	*) _dispatch make make ;;
	esac
	;;
mprun)
	_arguments -S \
		'--quiet[show and say nothing]' \
		'--report=[write a page about the build]:file:_files' \
		'--trace=[write a trace for Perfetto]:file:_files' \
		'--explain[say what would travel, start nothing]' \
		'--rerun=[run commands of lost nodes again]:mode:(never safe slow always)' \
		'(- *)--help[show the options]' \
		'(- *)--version[show the version]' \
		'(-):tool:_command_names -e' \
		'*::arguments:_normal'
	;;
*)
	_arguments -S \
		'-n[only on these nodes]:nodes:_mexec_nodes' \
		'-a[argument 0 of the command]:name:' \
		'-p[the command is a pathname]' \
		'-v[say where the command runs and why]' \
		'--no-stdin[give the command an empty standard input]' \
		'--rerun=[run it again where its node is lost]:mode:(never safe slow always)' \
		'(- *)--help[show the options]' \
		'(- *)--version[show the version]' \
		'(-):command:_command_names -e' \
		'*::arguments:_normal'
	;;
esac
