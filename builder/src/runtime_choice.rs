//! Which runtime an app gets: from its name or language and what is said of the version, to an entry of the catalog.

use lapstrake_catalog::{
    Catalog, Date, EnginesRange, Permissions, PlatformKey, Request, Resolution, ResolveError, Status,
    VersionRequest,
};

use crate::app_file::{Located, Rule};
use crate::detect::{Language, VersionWish};
use crate::origin::{Origin, Set};
use crate::settings::{AppSettings, Runtime};

/// The catalog, and what an answer has to hold for.
pub struct Terms<'c, 'a> {
    /// The catalog.
    pub catalog: &'c Catalog,
    /// The platforms of the image.
    pub platforms: &'a [PlatformKey],
    /// What the user allows.
    pub permissions: &'a Permissions,
    /// The day of the request.
    pub as_of: Date,
}

/// The file and the range of `engines.node`.
pub type Engines = (String, Located<String>);

/// What the catalog was asked, and what it answers.
#[derive(Debug)]
pub struct Chosen<'c> {
    /// The request.
    pub request: Request,
    /// The answer.
    pub resolution: Resolution<'c>,
    /// Where the runtime came from.
    pub runtime: Origin,
    /// Where the version came from.
    pub version: Origin,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Why there is no runtime for an app.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of problem.
    pub rule: Rule,
    /// Where the value came from that is refused.
    pub origin: Origin,
    /// What is wrong with it.
    pub message: String,
    /// What would have worked.
    pub hint: Option<String>,
}

/// Chooses the runtime of an app. `engines` is what `package.json` of the source directory asks for.
pub fn choose<'c>(
    settings: &AppSettings,
    terms: &Terms<'c, '_>,
    engines: Option<&Engines>,
) -> Result<Chosen<'c>, Refusal> {
    choose_runtime(&settings.runtime, settings.version.as_ref(), terms, engines)
}

/// Does the same for a runtime and a version lock by themselves.
pub fn choose_runtime<'c>(
    runtime: &Runtime,
    version: Option<&Set<VersionRequest>>,
    terms: &Terms<'c, '_>,
    engines: Option<&Engines>,
) -> Result<Chosen<'c>, Refusal> {
    match runtime {
        Runtime::Named(name) => named(name, version, terms, engines),
        Runtime::Of { language, because, wish } => {
            let wanted = Wanted::new(version, wish.as_ref(), *language, engines);
            let mut chosen = of_language(*language, &wanted, terms, engines)?;
            chosen.runtime = Origin::Detected(because.clone());
            Ok(chosen)
        }
    }
}

impl<'c> Terms<'c, '_> {
    fn ask(&self, request: &Request) -> Result<Resolution<'c>, ResolveError> {
        self.catalog.resolve(request, self.platforms, self.as_of, self.permissions)
    }
}

impl<'c> Chosen<'c> {
    fn new(request: Request, resolution: Resolution<'c>, runtime: Origin, version: Origin) -> Self {
        let warnings = resolution.warnings.iter().map(ToString::to_string).collect();
        Self { request, resolution, runtime, version, warnings }
    }
}

fn named<'c>(
    name: &Set<String>,
    version: Option<&Set<VersionRequest>>,
    terms: &Terms<'c, '_>,
    engines: Option<&Engines>,
) -> Result<Chosen<'c>, Refusal> {
    let mut request = Request::new(&name.value);
    request.version = version.map(|version| version.value.clone());
    request.engines = engines.map(|(_, range)| range.value.clone());
    let origin = version.map_or(Origin::Default, |version| version.origin.clone());
    match terms.ask(&request) {
        Ok(resolution) => Ok(Chosen::new(request, resolution, name.origin.clone(), origin)),
        Err(error) => {
            let is_of_name = version.is_none() || matches!(error, ResolveError::UnknownRuntime { .. });
            Err(refusal(&error, if is_of_name { name.origin.clone() } else { origin }, engines))
        }
    }
}

/// The catalog's refusal, at the place that asked for what it refuses. A conflict with `engines.node` names both places.
fn refusal(error: &ResolveError, origin: Origin, engines: Option<&Engines>) -> Refusal {
    let message = match (error, engines) {
        (ResolveError::EnginesConflict { .. }, Some((file, range))) => {
            format!("{error}, at {file}:{}", range.at.start)
        }
        _ => error.to_string(),
    };
    Refusal { rule: rule(error), origin, message, hint: error.hint() }
}

fn rule(error: &ResolveError) -> Rule {
    match error {
        ResolveError::UnknownRuntime { .. } => Rule::UnknownRuntime,
        ResolveError::NotForPlatform { .. } => Rule::RuntimePlatform,
        ResolveError::EnginesConflict { .. } => Rule::EnginesConflict,
        ResolveError::Refused { .. } => Rule::RuntimeRefused,
        ResolveError::OutsideLine { .. }
        | ResolveError::UnknownVersion { .. }
        | ResolveError::RequiresPythonConflict { .. }
        | ResolveError::DigestOfSeveral { .. }
        | ResolveError::DigestMismatch { .. } => Rule::UnknownVersion,
    }
}

/// What is said of the version of a detected language.
#[derive(Clone)]
struct Wanted {
    version: Option<VersionRequest>,
    range: Option<String>,
    origin: Origin,
    is_given: bool,
}

impl Wanted {
    fn new(
        given: Option<&Set<VersionRequest>>,
        wish: Option<&VersionWish>,
        language: Language,
        engines: Option<&Engines>,
    ) -> Self {
        let nothing = Self { version: None, range: None, origin: Origin::Default, is_given: false };
        if let Some(given) = given {
            let (version, origin) = (Some(given.value.clone()), given.origin.clone());
            return Self { version, origin, is_given: true, ..nothing };
        }
        match (wish, engines) {
            (Some(wish), _) => {
                let origin = Origin::Detected(wish.because().to_string());
                match wish {
                    VersionWish::Lock { request, .. } => {
                        Self { version: Some(request.clone()), origin, ..nothing }
                    }
                    VersionWish::Range { text, .. } => Self { range: Some(text.clone()), origin, ..nothing },
                }
            }
            (None, Some((file, range))) if language == Language::Node => {
                let origin = Origin::File { name: file.clone(), at: range.at };
                Self { range: Some(range.value.clone()), origin, ..nothing }
            }
            (None, _) => nothing,
        }
    }

    /// The same wish without its patch, where the catalog has no such patch and only a file of the app asked.
    ///
    /// Those files tell what a developer had at hand; a catalog keeps the newest patches.
    fn less_exact(&self, language: Language, error: &ResolveError) -> Option<Self> {
        let version = self.version.as_ref().filter(|version| !self.is_given && version.build().is_none())?;
        let kept = match language {
            Language::Python => 2,
            Language::Node => 1,
        };
        let components = version.components();
        if !matches!(error, ResolveError::UnknownVersion { .. }) || components.len() <= kept {
            return None;
        }
        let text = components[..kept].iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        Some(Self { version: Some(text.parse().ok()?), ..self.clone() })
    }

    fn request(&self, runtime: &str, language: Language) -> Request {
        let mut request = Request::new(runtime);
        request.version.clone_from(&self.version);
        match language {
            Language::Node => request.engines.clone_from(&self.range),
            Language::Python => request.requires_python.clone_from(&self.range),
        }
        request
    }
}

/// Chooses among all runtimes of a language.
fn of_language<'c>(
    language: Language,
    wanted: &Wanted,
    terms: &Terms<'c, '_>,
    engines: Option<&Engines>,
) -> Result<Chosen<'c>, Refusal> {
    let refused = |error: &ResolveError| match &wanted.range {
        // What lies in the range and is not taken says more than what lies outside.
        Some(range)
            if !matches!(
                error,
                ResolveError::Refused { .. } | ResolveError::RequiresPythonConflict { default: Some(_), .. }
            ) =>
        {
            nothing_satisfies(range, language, &wanted.origin, terms)
        }
        _ => refusal(error, wanted.origin.clone(), engines),
    };
    let mut chosen = match newest(wanted, language, terms) {
        Ok((request, resolution)) => Chosen::new(request, resolution, Origin::Default, wanted.origin.clone()),
        Err(error) => {
            let less = wanted.less_exact(language, &error).ok_or_else(|| refused(&error))?;
            let (request, resolution) = newest(&less, language, terms).map_err(|_| refused(&error))?;
            let asked = wanted.version.iter().map(ToString::to_string).collect::<String>();
            let (name, taken) = (language.name(), resolution.entry.version);
            let mut chosen = Chosen::new(request, resolution, Origin::Default, less.origin);
            chosen.warnings.push(format!(
                "{}: the catalog has no {name} {asked}; {taken} is taken (choose with `--runtime-version`)",
                wanted.origin
            ));
            chosen
        }
    };
    check_engines(&mut chosen, engines)?;
    Ok(chosen)
}

/// The refusal of a range that no runtime of the language lies in.
fn nothing_satisfies(range: &str, language: Language, origin: &Origin, terms: &Terms<'_, '_>) -> Refusal {
    let records = &terms.catalog.runtimes;
    let is_of_language = |runtime: &String| {
        records.get(runtime).is_some_and(|record| record.language == language.in_catalog())
    };
    let mut versions: Vec<_> = terms
        .catalog
        .entries
        .iter()
        .filter(|entry| is_of_language(&entry.runtime))
        .filter(|entry| {
            matches!(terms.catalog.status_at(entry, terms.as_of), Status::Active | Status::Deprecated)
        })
        .map(|entry| entry.version)
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.dedup();
    let known: Vec<String> = versions.iter().map(ToString::to_string).collect();
    Refusal {
        rule: Rule::EnginesConflict,
        origin: origin.clone(),
        message: format!("no {} of the catalog satisfies `{range}`", language.name()),
        hint: Some(format!("it has {}; choose one with `--runtime-version`", known.join(", "))),
    }
}

/// Asks for every runtime of the language, and takes the newest answer; one in use before one whose support ends soon.
fn newest<'c>(
    wanted: &Wanted,
    language: Language,
    terms: &Terms<'c, '_>,
) -> Result<(Request, Resolution<'c>), ResolveError> {
    let mut best: Option<(Request, Resolution<'c>)> = None;
    let mut refused: Option<ResolveError> = None;
    let is_of_language = |record: &lapstrake_catalog::RuntimeRecord| record.language == language.in_catalog();
    for (name, _) in terms.catalog.runtimes.iter().filter(|(_, record)| is_of_language(record)) {
        let request = wanted.request(name, language);
        let rank = |found: &Resolution<'_>| (found.status == Status::Active, found.entry.version);
        match terms.ask(&request) {
            Ok(found) if best.as_ref().is_none_or(|(_, other)| rank(other) < rank(&found)) => {
                best = Some((request, found));
            }
            Ok(_) => {}
            // Of the refusals that of the line which the version belongs to says most, then that of the newest.
            Err(error)
                if matches!(
                    error,
                    ResolveError::OutsideLine { .. } | ResolveError::EnginesConflict { .. }
                ) || matches!(refused, Some(ResolveError::Refused { .. })) =>
            {
                refused.get_or_insert(error);
            }
            Err(error) => refused = Some(error),
        }
    }
    best.ok_or_else(|| {
        refused.unwrap_or_else(|| ResolveError::UnknownRuntime {
            runtime: language.in_catalog().to_owned(),
            nearest: None,
            known: terms.catalog.runtimes.keys().cloned().collect(),
        })
    })
}

/// A version that another file asked for has to satisfy `engines.node` too.
fn check_engines(chosen: &mut Chosen<'_>, engines: Option<&Engines>) -> Result<(), Refusal> {
    let Some((file, range)) = engines else { return Ok(()) };
    let entry = chosen.resolution.entry;
    let parsed = EnginesRange::parse(&range.value);
    if parsed.is_none_or(|parsed| parsed.is_satisfied_by(entry.version)) {
        return Ok(());
    }
    let place = range.at.start;
    let message =
        format!("{} does not satisfy `engines.node`, which is `{}` at {file}:{place}", entry.id, range.value);
    let hint = "name a version that satisfies both with `--runtime-version`, or change one of the files";
    Err(Refusal {
        rule: Rule::EnginesConflict,
        origin: chosen.version.clone(),
        message,
        hint: Some(hint.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app_file::Span;
    use crate::catalog::open_local;
    use crate::detect::Finding;
    use crate::settings::Settings;

    /// The entry that is chosen in the program's own catalog on a day on which nodejs20 has ended, or the refusal.
    fn entry(
        runtime: Runtime,
        version: Option<&str>,
        engines: Option<&str>,
    ) -> Result<(String, usize), Refusal> {
        let data = tempfile::tempdir().unwrap();
        let local = open_local(data.path(), None).unwrap();
        let terms = Terms {
            catalog: local.catalog(),
            platforms: &["linux/amd64".parse().unwrap()],
            permissions: &Permissions::default(),
            as_of: "2026-11-26".parse().unwrap(),
        };
        let settings = Settings {
            runtime: Some(runtime),
            version: version
                .map(|text| Set::new(text.parse().unwrap(), Origin::Flag("--runtime-version".to_owned()))),
            start: Some(Set::new(crate::command_line::StartText::Line("x".to_owned()), Origin::Default)),
            ..Settings::default()
        };
        let engines = engines.map(|range| {
            ("package.json".to_owned(), Located { value: range.to_owned(), at: Span::at(3, 5) })
        });
        let chosen = choose(&settings.complete(&[]).unwrap(), &terms, engines.as_ref())?;
        let entry = chosen.resolution.entry.id.to_string();
        let line = entry.split('.').take(2).collect::<Vec<_>>().join(".");
        Ok((line, chosen.warnings.len()))
    }

    fn of(language: Language, wish: Option<VersionWish>) -> Runtime {
        Runtime::Of { language, because: "a file".to_owned(), wish }
    }

    fn because() -> Finding {
        Finding { file: ".nvmrc".to_owned(), at: None, says: "a version".to_owned() }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what it is given to takes a wish or none")]
    fn lock(text: &str) -> Option<VersionWish> {
        Some(VersionWish::Lock { request: text.parse().unwrap(), because: because() })
    }

    #[expect(clippy::unnecessary_wraps, reason = "what it is given to takes a wish or none")]
    fn range(text: &str) -> Option<VersionWish> {
        Some(VersionWish::Range { text: text.to_owned(), because: because() })
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with a result")]
    fn chosen(line: &str, warnings: usize) -> Result<(String, usize), Refusal> {
        Ok((line.to_owned(), warnings))
    }

    #[test]
    fn a_language_alone_gives_its_newest_line_in_use() {
        assert_eq!(entry(of(Language::Node, None), None, None), chosen("nodejs24-24.21", 0));
        assert_eq!(entry(of(Language::Python, None), None, None), chosen("python3-3.13", 0));
    }

    #[test]
    fn a_file_of_the_app_chooses_the_line_and_a_patch_that_is_not_there_only_warns() {
        let node = |wish| entry(of(Language::Node, wish), None, None);
        assert_eq!(node(lock("22")), chosen("nodejs22-22.23", 0));
        assert_eq!(node(lock("22.1.0")), chosen("nodejs22-22.23", 1));
        assert_eq!(node(range("^22.1")), chosen("nodejs22-22.23", 0));
        assert_eq!(node(range(">=18")), chosen("nodejs24-24.21", 0));
        let python = |wish| entry(of(Language::Python, wish), None, None);
        assert_eq!(python(lock("3.13")), chosen("python3-3.13", 0));
        assert_eq!(python(lock("3.13.99")), chosen("python3-3.13", 1));
        assert_eq!(python(range(">=3.9")), chosen("python3-3.13", 0));
    }

    #[test]
    fn a_line_that_is_not_there_or_has_ended_is_refused_at_the_file_that_asked() {
        let refused = |runtime| entry(runtime, None, None).unwrap_err();
        let ended = refused(of(Language::Node, lock("20")));
        assert_eq!(ended.rule, Rule::RuntimeRefused);
        assert!(ended.hint.unwrap().contains("--allow-eol"), "{}", ended.message);
        for absent in [lock("16"), lock("18.1.2"), range("<18")] {
            let refusal = refused(of(Language::Node, absent));
            assert_eq!(
                refusal.origin,
                Origin::Detected(".nvmrc: a version".to_owned()),
                "{}",
                refusal.message
            );
            assert!(refusal.hint.is_some(), "{}", refusal.message);
        }
        let below = refused(of(Language::Node, range("<18")));
        assert_eq!(below.message, "no Node.js of the catalog satisfies `<18`");
        let hint = below.hint.unwrap();
        assert!(hint.starts_with("it has 24.") && hint.contains(", 22."), "{hint}");
        let ended = refused(of(Language::Node, range("20.x")));
        assert_eq!(ended.rule, Rule::RuntimeRefused, "{}", ended.message);
        let preview = refused(of(Language::Python, range(">=3.14")));
        assert!(preview.message.ends_with(" is a preview"), "{}", preview.message);
        let none = refused(of(Language::Python, range("<3")));
        assert_eq!(none.message, "no Python of the catalog satisfies `<3`");
        let python = refused(of(Language::Python, lock("3.8.1")));
        assert_eq!(python.rule, Rule::UnknownVersion);
    }

    #[test]
    fn an_option_is_taken_to_the_letter_and_wins_over_files() {
        let node = |version| entry(of(Language::Node, lock("24")), Some(version), None);
        assert_eq!(node("22"), chosen("nodejs22-22.23", 0));
        assert_eq!(node("22.1.0").unwrap_err().origin, Origin::Flag("--runtime-version".to_owned()));
    }

    #[test]
    fn engines_choose_without_another_wish_and_bind_beside_one() {
        let node = |wish, engines| entry(of(Language::Node, wish), None, Some(engines));
        assert_eq!(node(None, "22.x"), chosen("nodejs22-22.23", 0));
        assert_eq!(node(lock("22"), ">=20"), chosen("nodejs22-22.23", 0));
        let conflict = node(lock("22"), ">=24").unwrap_err();
        assert_eq!(conflict.rule, Rule::EnginesConflict);
        assert!(conflict.message.contains("`>=24` at package.json:3:5"), "{}", conflict.message);
    }

    #[test]
    fn a_name_is_taken_to_the_letter() {
        let name = |name: &str| Runtime::Named(Set::new(name.to_owned(), Origin::Default));
        assert_eq!(entry(name("nodejs22"), None, None), chosen("nodejs22-22.23", 0));
        assert_eq!(entry(name("nodejs22"), Some("24"), None).unwrap_err().rule, Rule::UnknownVersion);
        assert_eq!(entry(name("ruby3"), None, None).unwrap_err().rule, Rule::UnknownRuntime);
        let conflict = entry(name("nodejs22"), None, Some(">=24")).unwrap_err();
        assert!(conflict.message.ends_with("at package.json:3:5"), "{}", conflict.message);
    }
}
