use super::*;

#[test]
fn lines_that_are_no_checksums_or_name_no_file_of_the_tree_go() {
    let mut tree = FileTree::new();
    tree.insert(TreePath::new("usr/lib/a").unwrap(), Node::file(vec![], 0o644));
    let sum = "d41d8cd98f00b204e9800998ecf8427e";
    let text = format!("{sum}  lib/a\n{sum}  usr/lib/b\nshort\n{sum}  ../a\n{sum}  usr/lib/a");
    let kept = remaining(text.as_bytes(), &tree);
    assert_eq!(String::from_utf8(kept).unwrap(), format!("{sum}  lib/a\n{sum}  usr/lib/a"));
}
