//! The rules of the app file: what each key, value and name means.

use super::Has::{No, Yes};
use super::{Row, open, row, rule};

/// The keys.
pub(super) const KEYS: &[Row] = &[
    rule("version", "the version of the file's format", &["every_key_is_read"]),
    rule("runtime", "the name of a managed runtime", &["every_key_is_read"]),
    rule("build", "how the app is built", &["every_key_is_read"]),
    rule("build.commands", "the three lists of commands", &["every_key_is_read"]),
    rule(
        "build.commands.pre-build",
        "commands before the build",
        &["every_key_is_read", "each_phase_sees_what_it_should_and_leaves_what_it_should"],
    ),
    rule(
        "build.commands.build",
        "commands of the build",
        &["every_key_is_read", "each_phase_sees_what_it_should_and_leaves_what_it_should"],
    ),
    rule(
        "build.commands.post-build",
        "commands after it, which never change the image",
        &["every_key_is_read", "each_phase_sees_what_it_should_and_leaves_what_it_should"],
    ),
    rule(
        "build.env",
        "variables of the build commands and of pre-run",
        &["every_key_is_read", "each_phase_sees_what_it_should_and_leaves_what_it_should"],
    ),
    rule("run", "how the app is run", &["every_key_is_read"]),
    rule("run.runtime-version", "the version lock", &["every_key_is_read"]),
    rule(
        "run.pre-run",
        "commands on the tree of the image",
        &["every_key_is_read", "each_phase_sees_what_it_should_and_leaves_what_it_should"],
    ),
    rule("run.command", "the start command", &["every_key_is_read"]),
    rule("run.network", "where the app listens", &["every_key_is_read"]),
    rule(
        "run.network.port",
        "the port, 8080 unless given",
        &["every_key_is_read", "the_smallest_file_means_port_8080_and_no_environment"],
    ),
    rule(
        "run.network.env",
        "one more variable that holds the port",
        &["every_key_is_read", "express_answers_on_the_port_of_a_variable_that_the_app_file_names"],
    ),
    rule(
        "run.env",
        "variables of the start command",
        &["every_key_is_read", "each_phase_sees_what_it_should_and_leaves_what_it_should"],
    ),
    rule("run.secrets", "references to secrets", &["every_key_is_read"]),
];

/// How YAML is read.
pub(super) const READING: &[Row] = &[
    rule("1", "scalars stay text", &["scalars_stay_text", "a_version_is_not_a_decimal_number"]),
    rule("2", "a number is read where a number is asked for", &["cfg_03_a_port_is_a_number_quoted_or_not"]),
    rule(
        "3",
        "nothing at all is the empty text, an item that is skipped, or an absent list",
        &[
            "a_value_that_is_not_there_is_the_empty_text_with_a_warning",
            "an_empty_item_of_a_command_list_is_skipped_with_a_warning",
            "an_empty_list_or_map_counts_as_absent",
            "a_required_text_must_not_be_empty",
        ],
    ),
    rule(
        "4",
        "UTF-8, with a byte-order mark, carriage returns and one document",
        &[
            "a_byte_order_mark_and_carriage_returns_are_accepted",
            "bytes_that_are_not_utf_8_are_refused_at_their_position",
            "a_second_document_is_refused",
            "cfg_02_control_characters_are_refused_at_their_position",
        ],
    ),
    rule(
        "5",
        "any indentation by spaces, and none by tabs",
        &["the_layouts_of_real_files_are_read_silently", "a_tab_as_indentation_is_refused_at_its_position"],
    ),
    rule(
        "6",
        "a key given twice is refused with both positions",
        &["cfg_02_a_key_given_twice_is_refused_with_both_positions"],
    ),
    rule(
        "7",
        "aliases under limits; neither merge keys nor tags",
        &[
            "cfg_02_anchors_are_expanded_and_merge_keys_and_tags_are_refused",
            "cfg_02_aliases_that_multiply_stop_at_the_limit_of_nodes",
            "cfg_02_a_large_text_behind_an_anchor_is_not_multiplied",
            "cfg_02_objects_of_other_languages_are_refused_as_tags",
        ],
    ),
    rule(
        "8",
        "limits of size, depth and number, each named",
        &[
            "limits_are_named_where_they_are_exceeded",
            "cfg_02_ten_thousand_levels_are_refused_by_the_limit",
            "cfg_02_a_file_of_ten_megabytes_is_refused_unread",
            "cfg_02_no_file_of_one_repeated_piece_takes_long",
            "cfg_01_nothing_of_the_yaml_test_suite_takes_long_or_makes_the_reader_fall_over",
        ],
    ),
    rule(
        "9",
        "every problem in one pass, each with line and column",
        &[
            "all_problems_are_reported_in_one_pass_and_in_order",
            "no_heap_of_pieces_makes_the_reader_fall_over_or_point_outside_of_it",
            "no_change_of_a_good_file_makes_the_reader_fall_over_or_point_outside_of_it",
        ],
    ),
];

/// What is checked.
pub(super) const VALIDATION: &[Row] = &[
    rule("version", "1.0, and what is read as it", &["the_version_of_the_format_is_one"]),
    rule(
        "runtime",
        "required, lowered, and known to the catalog",
        &[
            "a_runtime_is_read_in_lower_case",
            "an_unknown_runtime_is_answered_with_the_nearest_name",
            "an_unknown_runtime_or_version_is_refused_at_its_place_with_what_exists",
        ],
    ),
    rule(
        "required",
        "each missing key is its own message, and an empty build is allowed",
        &[
            "each_required_key_that_is_missing_is_a_message_of_its_own",
            "an_empty_list_says_that_there_is_nothing_to_build",
            "a_required_key_that_is_there_in_another_way_is_not_missing_as_well",
        ],
    ),
    rule(
        "misplaced",
        "a known key in the wrong place is refused with its path",
        &["known_keys_in_the_wrong_place_are_refused_with_the_right_one"],
    ),
    rule(
        "misspelt",
        "a misspelt key is refused with the right one",
        &["misspelt_keys_are_refused_with_the_right_spelling"],
    ),
    rule(
        "unknown",
        "another key is ignored with a warning",
        &["other_unknown_keys_are_ignored_with_a_warning"],
    ),
    rule(
        "commands",
        "a command is one text; what YAML takes for a map is refused with the hint to quote it",
        &["a_command_is_one_text"],
    ),
    rule(
        "start",
        "the start command is one text that is not empty and whose quotes are balanced",
        &["the_start_command_is_one_text_with_balanced_quotes"],
    ),
    rule("port", "a whole number from 1 to 65535", &["cfg_03_a_port_is_a_number_quoted_or_not"]),
    rule(
        "port-variable",
        "a valid name that contradicts no variable",
        &["the_variable_of_the_port_must_have_a_valid_name", "port_in_run_env_may_only_repeat_the_port"],
    ),
    rule("names", "names of variables", &["cfg_05_names_of_variables_are_checked_in_every_list"]),
    rule("values", "values of variables", &["cfg_05_a_value_is_one_text_of_limited_length"]),
    rule(
        "env-map",
        "variables as a map are refused with the form",
        &["env_given_as_a_map_is_refused_with_the_form"],
    ),
    rule(
        "repeated",
        "of a repeated name the last counts; variable and secret exclude each other",
        &["of_a_repeated_name_the_last_one_counts", "a_name_in_env_and_in_secrets_is_refused"],
    ),
    rule(
        "secrets",
        "a secret has a name and a reference, and never a value",
        &["a_secret_needs_a_name_and_a_reference", "a_secret_given_by_value_is_refused_without_showing_it"],
    ),
    rule("many", "more than fifty variables are noted", &["more_than_fifty_variables_are_noted"]),
    rule(
        "source-directory",
        "a path inside the source, with or without a leading slash, that exists",
        &[
            "a_directory_of_the_source_is_found_and_nothing_else",
            "a_source_directory_that_leaves_the_source_is_refused",
        ],
    ),
    rule(
        "lint",
        "all of it without a build, and a schema for editors",
        &[
            "each_planted_fault_of_a_broken_file_is_found_at_its_place_and_no_other",
            "there_is_no_false_alarm",
            "every_key_of_the_reader_has_a_description_and_an_example_and_there_is_no_other",
        ],
    ),
];

/// What names of runtimes mean.
pub(super) const NAMES: &[Row] = &[
    rule(
        "python3",
        "every line of Python 3; unlocked the catalog's default",
        &[
            "the_examples_of_the_app_files_description_give_their_entries",
            "a_new_minor_does_not_arrive_before_it_is_the_default",
        ],
    ),
    rule(
        "python311",
        "the first digit is the major, the rest the minor",
        &["the_examples_of_the_app_files_description_give_their_entries"],
    ),
    rule(
        "nodejs22",
        "all digits are the major",
        &["the_examples_of_the_app_files_description_give_their_entries"],
    ),
    rule(
        "other-languages",
        "runtimes of other languages are refused with those that there are",
        &["an_unknown_runtime_is_answered_with_the_nearest_name"],
    ),
    rule(
        "near",
        "near misses are refused with the nearest valid name",
        &["an_unknown_runtime_is_answered_with_the_nearest_name", "the_name_that_was_meant_is_found"],
    ),
];

/// What a version lock fixes.
pub(super) const LOCKS: &[Row] = &[
    rule(
        "R1",
        "without one only the line is fixed",
        &["the_examples_of_the_app_files_description_give_their_entries"],
    ),
    rule("R2", "each build resolves anew", &["a_tag_that_moves_to_another_minor_of_python_is_warned_about"]),
    rule(
        "R3",
        "major and minor leave the patch open",
        &["the_examples_of_the_app_files_description_give_their_entries"],
    ),
    rule(
        "R4",
        "a full version never moves",
        &["the_examples_of_the_app_files_description_give_their_entries"],
    ),
    rule(
        "R5",
        "any level may be locked",
        &[
            "the_examples_of_the_app_files_description_give_their_entries",
            "a_lock_never_resolves_outside_itself",
        ],
    ),
    rule(
        "R6",
        "the grammar, with build number and digest behind a full version",
        &[
            "every_level_of_the_grammar_is_read",
            "everything_else_is_refused_with_the_nearest_valid_form",
            "a_pinned_digest_must_be_that_of_the_platform",
        ],
    ),
    rule(
        "R7",
        "the lock lies inside the line",
        &["the_examples_of_the_app_files_description_are_refused_with_facts"],
    ),
    row(
        "R8",
        No,
        "an option locks as well",
        &["every_key_has_an_option_that_replaces_it_and_the_plan_says_so"],
    ),
    rule(
        "R9",
        "what does not exist is refused before any work, with what does",
        &[
            "the_examples_of_the_app_files_description_are_refused_with_facts",
            "an_unknown_runtime_or_version_is_refused_at_its_place_with_what_exists",
        ],
    ),
    rule("R10", "the range of `package.json` takes part", &["engines_narrow_a_request_without_a_lock"]),
    open(
        "R11",
        No,
        "a feature may need a minimum version",
        &[],
        "not yet: no runtime of the catalog has a feature that only some of its versions have",
    ),
    rule(
        "R12",
        "previews need a lock, ended and revoked versions a permission",
        &[
            "a_preview_is_taken_only_where_the_lock_names_its_line",
            "end_of_life_is_refused_until_a_permission_names_the_entry",
            "a_revoked_entry_is_refused_until_a_permission_with_a_reason_names_it",
        ],
    ),
    row(
        "moved",
        No,
        "another minor than the image before is warned about",
        &[
            "another_minor_than_before_is_warned_about_and_another_patch_is_not",
            "a_tag_that_moves_to_another_minor_of_python_is_warned_about",
        ],
    ),
    row(
        "recorded",
        No,
        "request, answer, catalog and reasons are printed and recorded",
        &["the_answer_says_why", "the_report_and_the_labels_say_which_runtime_was_taken_and_why"],
    ),
];

/// The examples of names and locks.
pub(super) const CHOICES: &[Row] = &[
    rule(
        "taken",
        "each example that has an answer gives it",
        &["the_examples_of_the_app_files_description_give_their_entries"],
    ),
    rule(
        "refused",
        "each example that has none is refused with the hint",
        &[
            "the_examples_of_the_app_files_description_are_refused_with_facts",
            "cfg_03_a_runtime_version_follows_its_grammar",
        ],
    ),
];

/// `engines.node`.
pub(super) const ENGINES: &[Row] = &[
    rule("1", "candidates are what runtime and lock allow", &["engines_narrow_a_request_without_a_lock"]),
    rule("2", "without a range the newest candidate is taken", &["without_a_range_there_is_none"]),
    rule(
        "3",
        "without a lock the newest candidate inside the range is taken",
        &["engines_narrow_a_request_without_a_lock", "ranges_are_those_of_npm"],
    ),
    rule(
        "4",
        "beside a lock the range has to hold",
        &[
            "a_lock_outside_of_engines_is_a_conflict_even_though_others_satisfy_it",
            "engines_that_contradict_the_app_file_are_refused_with_both_places",
        ],
    ),
    rule(
        "5",
        "a conflict names both places, both texts and a way out",
        &[
            "engines_that_nothing_satisfies_are_a_conflict",
            "engines_that_contradict_the_app_file_are_refused_with_both_places",
        ],
    ),
    rule(
        "6",
        "what is no range is warned about and ignored",
        &["engines_narrow_a_request_without_a_lock", "a_range_that_is_not_text_is_warned_about"],
    ),
    rule(
        "other",
        "a `package.json` beside a Python app does not count",
        &["engines_do_not_count_for_python", "a_package_json_beside_a_python_app_does_not_matter"],
    ),
    rule(
        "json",
        "whatever stands in the file, the reader judges it as JSON's own test suite does",
        &["the_json_test_suite_is_judged_right"],
    ),
];

/// Who sees which variable.
pub(super) const SCOPES: &[Row] = &[
    rule(
        "catalog",
        "the catalog's variables reach everything",
        &["build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run"],
    ),
    rule(
        "build-env",
        "variables of the build reach its four phases and not the image",
        &[
            "each_phase_sees_what_it_should_and_leaves_what_it_should",
            "build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run",
        ],
    ),
    rule(
        "run-env",
        "variables of the run reach the app alone",
        &[
            "each_phase_sees_what_it_should_and_leaves_what_it_should",
            "build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run",
        ],
    ),
    rule(
        "secrets",
        "secrets reach the app alone, from the platform",
        &["references_to_secrets_are_recorded_and_nothing_is_resolved"],
    ),
    rule(
        "port",
        "the variables that hold the port reach the app alone",
        &["build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run"],
    ),
    rule(
        "caller",
        "the caller's environment reaches nothing",
        &["a_build_command_sees_nothing_of_the_callers_environment"],
    ),
    rule(
        "literal",
        "nothing in a value is expanded",
        &[
            "values_that_nothing_expands_are_taken_literally_with_a_warning",
            "an_app_in_shell_form_gets_its_variables_and_ends_on_sigterm",
        ],
    ),
];

/// The port and reserved names.
pub(super) const PORT: &[Row] = &[
    rule(
        "default",
        "8080 unless given, and exposed",
        &[
            "the_smallest_file_means_port_8080_and_no_environment",
            "build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run",
        ],
    ),
    rule(
        "variables",
        "`PORT` and the second variable are in the image",
        &[
            "express_answers_on_the_port_of_a_variable_that_the_app_file_names",
            "build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run",
        ],
    ),
    rule(
        "run-env",
        "`PORT` among the variables may only repeat it",
        &["port_in_run_env_may_only_repeat_the_port", "what_repeats_the_port_is_left_out"],
    ),
    rule(
        "build-env",
        "`PORT` of the build is warned about",
        &["port_in_build_env_reaches_build_commands_only"],
    ),
    rule("secret", "`PORT` cannot be a secret", &["port_cannot_be_a_secret"]),
    rule(
        "reserved",
        "the service's own names are refused in every list",
        &[
            "cfg_05_names_of_variables_are_checked_in_every_list",
            "the_variable_of_the_port_must_have_a_valid_name",
        ],
    ),
    rule(
        "health",
        "the image has no health check",
        &["build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run"],
    ),
];

/// References to secrets.
pub(super) const REFERENCES: &[Row] = &[
    rule("forms", "two kinds of ARN, and the name of a parameter", &["a_reference_has_one_of_three_forms"]),
    rule(
        "stored",
        "references are recorded and nothing is resolved",
        &[
            "references_to_secrets_are_recorded_and_nothing_is_resolved",
            "checklist_row_11_references_are_listed_and_only_their_names_are_in_the_image",
        ],
    ),
    rule("unknown", "another form is recorded with a warning", &["a_reference_has_one_of_three_forms"]),
    row(
        "build",
        No,
        "the build has secrets of its own, by option",
        &[
            "a_secret_is_used_as_a_file_and_as_a_variable_and_shows_nowhere",
            "only_the_commands_of_the_named_phases_see_a_secret",
        ],
    ),
];

/// The start command.
pub(super) const START: &[Row] = &[
    rule(
        "words",
        "words follow the quoting rules of POSIX, and quotes are balanced",
        &[
            "words_follow_the_quoting_rules_of_posix",
            "what_is_opened_must_be_closed",
            "words_of_exec_form_are_those_of_another_reader",
            "the_shell_reads_the_words_of_exec_form_as_they_are",
        ],
    ),
    rule(
        "exec",
        "what needs no shell gets none",
        &[
            "words_that_another_tool_quoted_come_back_without_a_shell",
            "the_start_command_of_the_image_has_the_form_that_its_text_needs",
        ],
    ),
    rule(
        "shell",
        "what needs a shell gets one, and the plan says why",
        &["what_needs_a_shell_is_named", "the_start_command_of_the_image_has_the_form_that_its_text_needs"],
    ),
    rule(
        "literal",
        "characters of server arguments are literal, or warned about in a shell",
        &[
            "literal_characters_of_server_arguments_need_no_shell",
            "a_pattern_that_the_shell_would_expand_is_warned_about",
            "a_parenthesis_that_the_shell_would_stumble_over_is_refused",
        ],
    ),
    rule(
        "signals",
        "one command gets the signals of the container",
        &[
            "a_single_command_in_a_shell_gets_exec_and_others_a_warning",
            "exec_before_a_simple_command_changes_nothing",
            "an_app_in_shell_form_gets_its_variables_and_ends_on_sigterm",
            "an_app_in_exec_form_and_one_behind_a_script_end_on_sigterm",
        ],
    ),
    row(
        "forced",
        No,
        "an option forces either form; without a shell the managed service's own rule counts",
        &[
            "a_shell_can_be_asked_for",
            "without_a_shell_the_words_are_what_white_space_separates_and_nothing_is_honoured",
            "without_a_shell_what_looks_like_the_shells_is_warned_about",
            "the_start_command_of_the_image_has_the_form_that_its_text_needs",
        ],
    ),
    open(
        "layers",
        No,
        "layers without a shell refuse what needs one",
        &[],
        "not yet: every runtime of the catalog has `/bin/sh`",
    ),
    rule(
        "npm",
        "npm is in the image of an app that starts with it",
        &[
            "the_programs_tell_whether_npm_and_a_shell_must_be_there",
            "express_answers_on_the_port_of_a_variable_that_the_app_file_names",
        ],
    ),
    rule(
        "block",
        "a folded text is one line, and a last line end is trimmed",
        &["a_start_command_as_block_scalar_loses_its_last_line_end"],
    ),
    row(
        "list",
        No,
        "a list is a program and its arguments, as given",
        &[
            "a_start_command_as_a_list_is_a_program_and_its_arguments",
            "a_list_is_taken_as_it_is",
            "a_list_reaches_a_program_through_the_shell_as_it_is",
            "a_list_of_several_start_commands_is_refused",
        ],
    ),
    rule(
        "examples",
        "each example has its form",
        &["the_examples_of_the_app_files_description_have_their_form"],
    ),
];

/// What goes wrong, and in which words.
pub(super) const ERRORS: &[Row] = &[
    rule(
        "E1",
        "no app file: where it was looked for, and near misses",
        &["without_an_app_file_and_without_anything_that_tells_the_search_is_described"],
    ),
    rule(
        "E2",
        "an unknown runtime or version: the place, what exists, the nearest, the end of support",
        &["an_unknown_runtime_or_version_is_refused_at_its_place_with_what_exists"],
    ),
    rule(
        "E3",
        "a failed command: phase, number, line, code or signal, the last lines of both streams",
        &[
            "a_failing_command_is_named_with_its_phase_its_number_its_line_and_both_streams",
            "every_phase_has_its_prefix_and_stops_at_the_first_command_that_fails",
            "a_flood_on_one_stream_leaves_the_last_lines_of_the_other",
        ],
    ),
    rule(
        "E4",
        "an invalid file: everything at once, with line, column and hint",
        &["a_file_that_is_wrong_in_many_ways_is_refused_at_once_and_before_any_work"],
    ),
    open("E5", No, "a container that is never healthy", &[], "no need: the platform that deploys reports it"),
    row(
        "E6",
        Yes,
        "an app that stops: its exit code and its output",
        &["an_app_that_stops_is_reported_with_its_exit_code_and_its_output"],
    ),
    rule(
        "E7",
        "a conflict with `package.json`: both places",
        &["engines_that_contradict_the_app_file_are_refused_with_both_places"],
    ),
];
