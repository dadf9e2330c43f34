//! `pg_config`, which extensions such as psycopg2 ask where the headers of the database are when they are built from source.
//!
//! Debian's is a perl script with its answers after `__DATA__`, and no layer has perl. The answers are kept; only
//! the dozen lines that print them are written anew.

use lapstrake_oci::tree::{FileTree, Kind, Node};

use crate::layer::AssembleError;

const BEFORE: &str = r"#!/bin/sh
# The answers are those of Debian's pg_config, whose own program needs perl.
answers() {
    cat <<'ANSWERS'
";

const AFTER: &str = r#"ANSWERS
}
if [ $# -eq 0 ]; then
    answers
    exit 0
fi
for option; do
    name=$(printf '%s' "${option#--}" | tr '[:lower:]' '[:upper:]')
    case "$option" in
        --*[!a-zA-Z_-]*) name= ;;
        --*) ;;
        *) name= ;;
    esac
    if [ -z "$name" ] || ! answers | grep -q "^$name = "; then
        echo "pg_config: invalid argument: $option" >&2
        exit 1
    fi
    answers | sed -n "s/^$name = //p"
done
"#;

pub(super) fn add(tree: &mut FileTree) -> Result<(), AssembleError> {
    let path = super::path("usr/bin/pg_config");
    let missing = |what: &str| AssembleError::Missing { what: what.to_owned() };
    let Some(Kind::File(content)) = tree.get(&path).map(|node| &node.kind) else {
        return Err(missing("`usr/bin/pg_config`"));
    };
    let script = content.read().map_err(|source| AssembleError::Read { path: path.clone(), source })?;
    let script = String::from_utf8_lossy(&script).into_owned();
    let (_, data) =
        script.split_once("\n__DATA__\n").ok_or_else(|| missing("the answers of `usr/bin/pg_config`"))?;
    let mut answers = String::new();
    for line in data.lines().take_while(|line| !line.is_empty()) {
        answers.push_str(line);
        answers.push('\n');
    }
    tree.insert(path, Node::file([BEFORE, &answers, AFTER].concat().into_bytes(), 0o755));
    Ok(())
}
