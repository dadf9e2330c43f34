//! What the schema says of each key.

use serde_json::{Value, json};

use super::map;
use crate::app_file::DEFAULT_PORT;
use crate::app_file::keys::{self, Path};

/// Names that the managed service keeps for itself may not be used.
const NAME: &str = "^(?!AWSAPPRUNNER)[^=\\n]+$";
/// The same for a secret, which can hold anything but the port.
const SECRET_NAME: &str = "^(?!AWSAPPRUNNER)(?!PORT$)[^=\\n]+$";
/// The name of a variable that every shell takes.
const PLAIN_NAME: &str = "^(?!AWSAPPRUNNER)[A-Za-z_][A-Za-z0-9_]*$";
/// A number from 1 to 65535, in quotes.
const PORT: &str = "^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$";
/// A version lock: one to three numbers, then a build number of ours and a digest.
const VERSION: &str = "^(0|[1-9][0-9]*)(\\.(0|[1-9][0-9]*)){0,1}$\
                       |^(0|[1-9][0-9]*)(\\.(0|[1-9][0-9]*)){2}(-[1-9][0-9]*(@sha256:[0-9a-f]{64})?)?$";

/// The keys without which a map means nothing.
pub(super) fn required(path: &Path) -> &'static [&'static str] {
    match path.name {
        "" => &["version", "runtime", "build", "run"],
        "build" => &["commands"],
        "build.commands" => &["build"],
        "run" => &["command"],
        "build.env" | "run.env" => &["name", "value"],
        "run.secrets" => &["name", "value-from"],
        _ => &[],
    }
}

/// The schema of a key's value.
pub(super) fn key(path: &Path, key: &str) -> Value {
    let (description, mut schema) = match path.name {
        "" => top(key),
        "build" => build(key),
        "build.commands" => phase(key),
        "run" => run(key),
        "run.network" => network(key),
        _ => item(path, key),
    };
    schema["description"] = json!(description);
    schema
}

fn top(key: &str) -> (&'static str, Value) {
    match key {
        "version" => (
            "The version of the file's format, not of the app: 1.0.",
            json!({ "type": ["string", "number"], "pattern": "^1(\\.[0-9]+)?$", "minimum": 1, "exclusiveMaximum": 2,
                    "default": "1.0", "examples": ["1.0"] }),
        ),
        "runtime" => (
            "The language and the release line: `python3` is the newest Python 3, `python313` is 3.13, `nodejs22` is 22.",
            json!({ "type": "string", "pattern": "^[A-Za-z]+[0-9]+$",
                    "examples": ["python3", "python313", "nodejs22", "nodejs24"] }),
        ),
        "build" => ("How the app is built.", map(&keys::BUILD)),
        _ => ("How the app is started.", map(&keys::RUN)),
    }
}

fn build(key: &str) -> (&'static str, Value) {
    match key {
        "commands" => {
            let mut phases = map(&keys::COMMANDS);
            // A plain list is read as the phase `build`, with a warning.
            phases["type"] = json!(["object", "array"]);
            phases["items"] = command();
            (
                "The build commands, by phase. They run in the source directory, on the build layers of the runtime.",
                phases,
            )
        }
        _ => (
            "Variables of the build commands and of `run.pre-run`. They are not part of the image.",
            list(map(&keys::BUILD_VARIABLE), json!([[{ "name": "NODE_ENV", "value": "production" }]])),
        ),
    }
}

fn phase(key: &str) -> (&'static str, Value) {
    match key {
        "pre-build" => {
            ("Commands before the build.", commands(json!([["pip3 install -r requirements.txt"]])))
        }
        "build" => {
            let mut commands =
                commands(json!([["pip3 install -r requirements.txt"], ["npm ci", "npm run build"]]));
            commands["type"] = json!("array");
            ("The commands that build the app; `[]` if there is nothing to build.", commands)
        }
        _ => (
            "Commands after the build, such as tests. They never change the image; one that fails fails the build.",
            commands(json!([["npm test"]])),
        ),
    }
}

fn run(key: &str) -> (&'static str, Value) {
    match key {
        "runtime-version" => (
            "A version lock inside the line that `runtime` names: `3`, `3.13` or `3.13.5`. Without it the newest version \
             of the line is taken.",
            json!({ "type": ["string", "number"], "pattern": VERSION, "exclusiveMinimum": 0,
                    "examples": ["3.13", "3.13.5", "22"] }),
        ),
        "pre-run" => (
            "Commands on the tree of the final image, inside and outside of `/app`. They see `build.env`.",
            commands(json!([["pip3 install -r requirements.txt"]])),
        ),
        "command" => (
            "The start command. It is started without a shell unless something in it needs one, such as `&&` or `$PORT`.",
            json!({ "type": ["string", "number", "boolean", "array"], "pattern": "\\S",
                    "items": { "type": ["string", "number", "boolean"] }, "minItems": 1,
                    "if": { "type": "array", "minItems": 2 }, "then": { "items": [{ "pattern": "^\\S*$" }] },
                    "examples": ["gunicorn --bind 0.0.0.0:8080 app:app", "node server.js", "npm start"] }),
        ),
        "network" => {
            let mut network = map(&keys::NETWORK);
            network["type"] = json!(["object", "null"]);
            ("Where the app listens.", network)
        }
        "env" => (
            "Variables of the start command. Their values are part of the image: secrets belong to `secrets`.",
            list(map(&keys::RUN_VARIABLE), json!([[{ "name": "LOG_LEVEL", "value": "info" }]])),
        ),
        _ => (
            "References to secrets, which the platform that deploys resolves. No value is part of the image.",
            list(map(&keys::SECRET), json!([[{ "name": "DB_PASSWORD", "value-from": "my-parameter" }]])),
        ),
    }
}

fn network(key: &str) -> (&'static str, Value) {
    match key {
        "port" => (
            "The port that the app listens on, also in the variable `PORT`.",
            json!({ "type": ["integer", "string"], "minimum": 1, "maximum": 65_535, "pattern": PORT,
                    "default": DEFAULT_PORT, "examples": [DEFAULT_PORT, 3000] }),
        ),
        _ => (
            "The name of one more variable, beside `PORT`, that holds the port.",
            json!({ "type": "string", "pattern": PLAIN_NAME, "examples": ["APP_PORT"] }),
        ),
    }
}

fn item(path: &Path, key: &str) -> (&'static str, Value) {
    let is_secret = path.name == keys::SECRET.name;
    let (pattern, length) = if is_secret { (SECRET_NAME, 2_048) } else { (NAME, 51_200) };
    match key {
        "name" => (
            "The name of the variable.",
            json!({ "type": ["string", "number", "boolean"], "minLength": 1, "maxLength": length, "pattern": pattern,
                    "examples": ["LOG_LEVEL"] }),
        ),
        "value" => (
            "The value, taken as it is written: nothing in it is expanded. A JSON value needs quotes.",
            json!({ "type": ["string", "number", "boolean", "null"], "maxLength": length, "default": "",
                    "examples": ["info"] }),
        ),
        _ => (
            "Where the value is: the ARN of a secret or of a parameter, or the name of a parameter.",
            json!({ "type": "string", "minLength": 1, "maxLength": length,
                    "examples": ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:name-AbCdEf", "my-parameter"] }),
        ),
    }
}

/// A list of commands.
fn commands(examples: Value) -> Value {
    list(command(), examples)
}

/// A command; nothing at all is skipped, with a warning.
fn command() -> Value {
    let description = "A command for a shell of its own: neither `cd` nor `export` reaches the next one.";
    json!({ "type": ["string", "number", "boolean", "null"], "description": description })
}

/// A list; nothing at all is an empty one, and so is an item that is not there.
#[expect(clippy::needless_pass_by_value, reason = "what `json!` makes is given away")]
fn list(mut items: Value, examples: Value) -> Value {
    if items["type"] == "object" {
        items["type"] = json!(["object", "null"]);
    }
    json!({ "type": ["array", "null"], "items": items, "default": [], "examples": examples })
}
