//! Shell completions: the scripts that `clap_complete` generates, extended by the entries that `remove` accepts, which
//! the scripts get from `stargreyctl removable`.

use clap::CommandFactory;

use super::args::{Arguments, CompletedShell};

/// Completes the argument of `remove` in bash, for which `@`, `:` and `=` end a word.
const BASH: &str = r#"
_stargreyctl_with_entries() {
    _stargreyctl "$@"
    # The whole word, which bash may take for several.
    local word=${COMP_LINE:0:COMP_POINT}
    [[ $word =~ (^|[[:space:]])remove[[:space:]]+([a-z0-9-]+)[[:space:]]+([^[:space:]]*)$ ]] || return 0
    local list=${BASH_REMATCH[2]} typed=${BASH_REMATCH[3]} entry
    local before=${typed%"$2"}
    COMPREPLY=()
    while IFS= read -r entry; do
        printf -v entry %q "$entry"
        [[ $entry == "$typed"* ]] && COMPREPLY+=("${entry#"$before"}")
    done < <(stargreyctl removable "$list" 2>/dev/null)
    return 0
}
complete -F _stargreyctl_with_entries -o bashdefault -o default stargreyctl
"#;

/// The same in fish.
const FISH: &str = r#"
function __fish_stargreyctl_entries
    set -l words (commandline -opc)
    set -l list $words[-1]
    stargreyctl removable $list 2>/dev/null
end
complete -c stargreyctl -n "__fish_stargreyctl_using_subcommand remove; and not __fish_seen_subcommand_from help" -f -a "(__fish_stargreyctl_entries)"
"#;

/// The same in zsh, before the line that runs the completion.
const ZSH: &str = r#"
_stargreyctl_entries() {
    local -a entries
    entries=(${(f)"$(stargreyctl removable ${words[CURRENT-1]} 2>/dev/null)"})
    compadd -a entries
}

"#;

/// The value of `remove` in the script for zsh, up to the name of the function that completes it.
const ZSH_ENTRY: &str = "':pattern -- The entry, as list shows it:";

/// The script for a shell.
#[must_use]
pub fn script(shell: CompletedShell) -> String {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    let generator = clap_complete::Shell::from(shell);
    clap_complete::generate(generator, &mut command, "stargreyctl", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        CompletedShell::Bash => script + BASH,
        CompletedShell::Fish => script + FISH,
        CompletedShell::Zsh => {
            let default = format!("{ZSH_ENTRY}_default'");
            let entries = format!("{ZSH_ENTRY}_stargreyctl_entries'");
            let script = script.replace(&default, &entries);
            script.replacen("\n_stargreyctl() {", &format!("{ZSH}_stargreyctl() {{"), 1)
        }
    }
}
