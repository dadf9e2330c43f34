//! What real app files have that no documentation mentions, and what becomes of it.

use super::{Row, rule};

pub(super) const QUIRKS: &[Row] = &[
    rule(
        "1",
        "commands as a plain list are the phase `build`, with a warning",
        &["commands_as_a_plain_list_are_the_build_phase"],
    ),
    rule(
        "2",
        "`pre-run` without `build` is refused, with the way to say that nothing is built",
        &["a_file_without_build_is_told_how_to_say_so"],
    ),
    rule(
        "3",
        "`pre-run` among the commands of the build is refused with its place",
        &["known_keys_in_the_wrong_place_are_refused_with_the_right_one"],
    ),
    rule(
        "4",
        "a file called `apprunner.yml` is not found, with the hint to rename it",
        &[
            "a_file_with_a_similar_name_is_named",
            "a_source_without_an_app_file_is_refused_with_a_hint_at_the_wrong_name",
        ],
    ),
    rule("5", "a compose file under this name is recognised", &["a_compose_file_is_recognised"]),
    rule(
        "6",
        "`network`, `env`, `secrets` or `command` beside `run` are refused with the whole path",
        &["known_keys_in_the_wrong_place_are_refused_with_the_right_one"],
    ),
    rule(
        "7",
        "a reference among variables is sent to the secrets",
        &["a_reference_among_variables_is_refused"],
    ),
    rule(
        "8",
        "underscores for hyphens are refused with the right spelling",
        &["misspelt_keys_are_refused_with_the_right_spelling"],
    ),
    rule(
        "9",
        "`runtime-version` below `build`, `run.port` and `run.environment` are refused with their places",
        &[
            "known_keys_in_the_wrong_place_are_refused_with_the_right_one",
            "misspelt_keys_are_refused_with_the_right_spelling",
        ],
    ),
    rule(
        "10",
        "settings of the service itself are ignored with a warning",
        &["operational_settings_are_ignored_with_a_warning"],
    ),
    rule(
        "11",
        "other unknown keys are ignored with a warning",
        &["other_unknown_keys_are_ignored_with_a_warning"],
    ),
    rule(
        "12",
        "capital letters in the runtime are lowered with a warning",
        &["a_runtime_is_read_in_lower_case"],
    ),
    rule(
        "13",
        "`python`, `python3.11`, `go1.x` and `docker` are no runtimes; the nearest is named",
        &["an_unknown_runtime_is_answered_with_the_nearest_name", "the_name_that_was_meant_is_found"],
    ),
    rule(
        "14",
        "`nodejs20` is one of ours, under the rule for what has ended",
        &["an_end_of_life_runtime_is_refused_unless_it_is_permitted_by_name"],
    ),
    rule(
        "15",
        "`latest` and `18.x` are no versions; `22` counts inside its line, `20` outside does not",
        &[
            "cfg_03_a_runtime_version_follows_its_grammar",
            "the_examples_of_the_app_files_description_are_refused_with_facts",
        ],
    ),
    rule(
        "16",
        "`1.10` and `1` are read as version 1.0 with a warning",
        &["the_version_of_the_format_is_one"],
    ),
    rule(
        "17",
        "`${VAR}` and `{{resolve:…}}` are taken literally with a warning",
        &["values_that_nothing_expands_are_taken_literally_with_a_warning"],
    ),
    rule("18", "numbers, switches and quoted JSON are text, without a warning", &["scalars_stay_text"]),
    rule(
        "19",
        "`PORT` among the variables may only repeat the port; as the second variable it says nothing new",
        &["port_in_run_env_may_only_repeat_the_port", "the_variable_of_the_port_must_have_a_valid_name"],
    ),
    rule(
        "20",
        "a start command as a block, and as a list of words or of commands",
        &[
            "a_start_command_as_block_scalar_loses_its_last_line_end",
            "a_start_command_as_a_list_is_a_program_and_its_arguments",
            "a_list_of_several_start_commands_is_refused",
        ],
    ),
    rule(
        "21",
        "every layout that YAML allows is read without a word",
        &["the_layouts_of_real_files_are_read_silently"],
    ),
    rule(
        "22",
        "`cd`, `export` and an activated environment as an item of their own are warned about",
        &["commands_without_effect_on_the_next_item_are_warned_about"],
    ),
    rule(
        "23",
        "system package managers and downloads of a second runtime are warned about",
        &["system_package_managers_are_warned_about", "a_second_runtime_is_warned_about"],
    ),
    rule(
        "24",
        "a lock to a version that is not there is refused with what is",
        &[
            "the_examples_of_the_app_files_description_are_refused_with_facts",
            "a_version_outside_the_line_is_refused_with_those_that_exist",
        ],
    ),
    rule(
        "25",
        "what the project's own files ask for is held against the runtime: refused for Node.js, told for Python",
        &[
            "engines_that_contradict_the_app_file_are_refused_with_both_places",
            "files_that_ask_for_another_version_are_warned_about_with_both_places",
        ],
    ),
    rule(
        "26",
        "credentials in plain text are warned about without being shown",
        &[
            "credentials_in_plain_text_are_warned_about_without_showing_them",
            "credentials_are_recognised_by_name_or_by_form",
            "settings_are_not_taken_for_credentials",
        ],
    ),
];
