//! Searches what would become an image for hidden values.
//!
//! Contents, names and links of all files of the app's own layers, and every document. What is compressed or encrypted
//! cannot be seen into.

use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

use super::forms::Form;
use super::hidden::Hidden;
use super::scanner::Scanner;
use crate::failure::{Exit, Failure};
use crate::report::printable;

/// How many places a failure names.
const NAMED: usize = 20;

/// A search for hidden values.
pub struct Search {
    scanner: Scanner,
    /// Whose text each is, and how it is written.
    owners: Vec<(String, Form)>,
}

/// A place that holds a hidden value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The file or document.
    pub place: String,
    /// The name of the value.
    pub name: String,
    /// How it is written there.
    pub form: Form,
}

impl Search {
    /// Prepares a search for some values.
    #[must_use]
    pub fn new(hidden: &[Hidden]) -> Self {
        let needles: Vec<(&Hidden, &(Form, Vec<u8>))> = hidden
            .iter()
            .flat_map(|value| value.needles().iter().map(move |needle| (value, needle)))
            .collect();
        let texts: Vec<&[u8]> = needles.iter().map(|(_, (_, text))| text.as_slice()).collect();
        let owners = needles.iter().map(|(value, (form, _))| (value.name().to_owned(), *form)).collect();
        Self { scanner: Scanner::new(&texts), owners }
    }

    /// The files of some trees that hold a value, in the order of the trees.
    pub fn in_trees(&self, trees: &[&FileTree]) -> io::Result<Vec<Leak>> {
        if self.owners.is_empty() {
            return Ok(Vec::new());
        }
        let nodes: Vec<(&TreePath, &Node)> = trees.iter().flat_map(|tree| tree.iter()).collect();
        let next = AtomicUsize::new(0);
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(8);
        let mut leaks = thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| self.in_nodes(&nodes, &next))).collect();
            let found = workers.into_iter().map(|worker| match worker.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            found.collect::<io::Result<Vec<_>>>()
        })?
        .concat();
        leaks.sort_by_key(|(index, _)| *index);
        Ok(leaks.into_iter().map(|(_, leak)| leak).collect())
    }

    /// Searches the nodes that no other thread has taken.
    fn in_nodes(&self, nodes: &[(&TreePath, &Node)], next: &AtomicUsize) -> io::Result<Vec<(usize, Leak)>> {
        let mut leaks = Vec::new();
        let mut buffer = self.scanner.buffer();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, node)) = nodes.get(index) else { return Ok(leaks) };
            let found = self.in_node(path, node, &mut buffer)?;
            leaks.extend(found.map(|found| (index, self.leak(path.to_string(), found))));
        }
    }

    fn in_node(&self, path: &TreePath, node: &Node, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let in_name = self.scanner.find(path.as_bytes());
        if in_name.is_some() {
            return Ok(in_name);
        }
        match &node.kind {
            // What an earlier build has made was searched by that one before it was kept.
            Kind::File(content) if !content.is_here() => Ok(None),
            Kind::File(content) => self.scanner.find_in(content.open()?, buffer),
            Kind::Symlink(target) => Ok(self.scanner.find(target)),
            Kind::Directory | Kind::Hardlink(_) | Kind::Whiteout => Ok(None),
        }
    }

    /// Whether a document holds a value.
    #[must_use]
    pub fn in_document(&self, place: &str, bytes: &[u8]) -> Option<Leak> {
        self.scanner.find(bytes).map(|found| self.leak(place.to_owned(), found))
    }

    fn leak(&self, place: String, index: usize) -> Leak {
        let (name, form) = &self.owners[index];
        Leak { place, name: name.clone(), form: *form }
    }
}

/// The failure of a build that would put hidden values into an image.
pub fn refuse(leaks: &[Leak]) -> Result<(), Failure> {
    if leaks.is_empty() {
        return Ok(());
    }
    let mut what = "the image would hold secrets of the build, so it goes nowhere".to_owned();
    for leak in leaks.iter().take(NAMED) {
        // Writing to a string does not fail.
        let _ = write!(what, "\n  {} holds {}{}", printable(&leak.place), leak.name, leak.form.note());
    }
    if leaks.len() > NAMED {
        let _ = write!(what, "\n  and {} more", leaks.len() - NAMED);
    }
    Err(Failure::new(Exit::AppFailed, what).hint(
        "let commands read a secret where they need it and write it nowhere; a file that must hold it for a while is \
         removed by the same command",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> Search {
        Search::new(&[
            Hidden::value("secret `TOKEN`", b"s3cr3t-t0ken"),
            Hidden::value("secret `B`", b"another-1"),
        ])
    }

    fn tree(nodes: Vec<(&str, Node)>) -> FileTree {
        nodes.into_iter().map(|(path, node)| (TreePath::new(path).unwrap(), node)).collect()
    }

    fn places(leaks: &[Leak]) -> Vec<(&str, &str, Form)> {
        leaks.iter().map(|leak| (leak.place.as_str(), leak.name.as_str(), leak.form)).collect()
    }

    #[test]
    fn contents_names_and_links_that_hold_a_value_are_found_and_no_others() {
        let file = |text: &str| Node::file(text.as_bytes().to_vec(), 0o644);
        let one = tree(vec![
            ("app", Node::directory()),
            ("app/config", file("token: s3cr3t-t0ken\n")),
            ("app/header", file("Basic czNjcjN0LXQwa2Vu")),
            ("app/link", Node::symlink(b"/x/another-1".to_vec())),
            ("app/ok", file("s3cr3t t0ken another-2")),
        ]);
        let other = tree(vec![("usr/s3cr3t-t0ken", Node::directory()), ("usr/z", file("another-1"))]);
        let leaks = search().in_trees(&[&one, &other]).unwrap();
        assert_eq!(
            places(&leaks),
            [
                ("app/config", "secret `TOKEN`", Form::Plain),
                ("app/header", "secret `TOKEN`", Form::Base64),
                ("app/link", "secret `B`", Form::Plain),
                ("usr/s3cr3t-t0ken", "secret `TOKEN`", Form::Plain),
                ("usr/z", "secret `B`", Form::Plain),
            ]
        );
    }

    #[test]
    fn many_files_are_searched_in_their_order() {
        let nodes = (0..500).map(|number| {
            let text = if number % 100 == 7 { "x s3cr3t-t0ken" } else { "x" };
            (TreePath::new(format!("f{number:03}")).unwrap(), Node::file(text.as_bytes().to_vec(), 0o644))
        });
        let leaks = search().in_trees(&[&nodes.collect()]).unwrap();
        let found: Vec<&str> = leaks.iter().map(|leak| leak.place.as_str()).collect();
        assert_eq!(found, ["f007", "f107", "f207", "f307", "f407"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_and_not_a_pass() {
        let gone = lapstrake_oci::tree::Content::path("/nonexistent/x", 1);
        assert!(search().in_trees(&[&tree(vec![("x", Node::file(gone, 0o644))])]).is_err());
    }

    #[test]
    fn a_document_that_holds_a_value_is_found() {
        let search = search();
        assert_eq!(
            search.in_document("the config", br#"{"Env":["A=s3cr3t-t0ken"]}"#).unwrap().place,
            "the config"
        );
        assert_eq!(search.in_document("the config", b"{}"), None);
    }

    #[test]
    fn a_leak_is_refused_with_the_names_of_the_files_and_the_secrets() {
        let leak = |place: String| Leak { place, name: "secret `TOKEN`".into(), form: Form::Base64 };
        let leaks: Vec<Leak> = (0..22).map(|number| leak(format!("app/{number}"))).collect();
        let failure = refuse(&leaks).unwrap_err();
        assert_eq!(failure.exit, Exit::AppFailed);
        assert!(failure.what.contains("\n  app/0 holds secret `TOKEN` in base64\n"), "{}", failure.what);
        assert!(failure.what.ends_with("\n  and 2 more"), "{}", failure.what);
        assert!(refuse(&[]).is_ok());
    }
}
