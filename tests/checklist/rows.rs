//! The checklist: what a platform's users need, and what the managed service has of it.

use super::Has::{No, Part, Yes};
use super::{Row, open, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "1",
        Yes,
        "the app file is read from the directory of the app",
        &[
            "every_key_is_read",
            "the_smallest_file_means_port_8080_and_no_environment",
            "flask_answers_and_its_packages_lie_outside_the_app",
        ],
    ),
    row(
        "2",
        Yes,
        "options say all that the file says",
        &["every_key_has_an_option_that_replaces_it_and_the_plan_says_so"],
    ),
    row(
        "3",
        No,
        "options replace single values, and the plan shows where each came from",
        &["every_key_has_an_option_that_replaces_it_and_the_plan_says_so"],
    ),
    row(
        "4",
        No,
        "the file may lie elsewhere under another name",
        &["an_option_names_another_app_file_and_the_directory_of_the_app"],
    ),
    row(
        "5",
        Yes,
        "commands before, of and after the build",
        &["each_phase_sees_what_it_should_and_leaves_what_it_should"],
    ),
    row(
        "6",
        Yes,
        "commands on the tree of the image, for every runtime",
        &[
            "each_phase_sees_what_it_should_and_leaves_what_it_should",
            "pre_run_works_with_node_too_and_npm_is_there_for_it",
        ],
    ),
    row(
        "7",
        Yes,
        "the build runs once; what it left outside of `/app` is kept, unless asked otherwise",
        &[
            "the_build_runs_once_or_twice_and_what_it_left_outside_of_app_is_kept_or_not",
            "flask_answers_and_its_packages_lie_outside_the_app",
        ],
    ),
    row(
        "8",
        Yes,
        "the build can run again on the tree of the image",
        &["the_build_runs_once_or_twice_and_what_it_left_outside_of_app_is_kept_or_not"],
    ),
    row(
        "9",
        Yes,
        "variables of the build in four phases, those of the run in none",
        &[
            "each_phase_sees_what_it_should_and_leaves_what_it_should",
            "build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run",
        ],
    ),
    row(
        "10",
        No,
        "secrets of the build, in named phases and nowhere else",
        &[
            "a_secret_is_used_as_a_file_and_as_a_variable_and_shows_nowhere",
            "only_the_commands_of_the_named_phases_see_a_secret",
            "a_secret_in_what_the_image_would_hold_is_refused_with_the_name_of_the_file",
        ],
    ),
    row(
        "11",
        Yes,
        "references to secrets of the run are recorded",
        &[
            "references_to_secrets_are_recorded_and_nothing_is_resolved",
            "checklist_row_11_references_are_listed_and_only_their_names_are_in_the_image",
        ],
    ),
    row(
        "12",
        Yes,
        "the port, in one variable or two, and exposed",
        &[
            "express_answers_on_the_port_of_a_variable_that_the_app_file_names",
            "build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run",
        ],
    ),
    row(
        "13",
        Yes,
        "names that are reserved",
        &["port_in_run_env_may_only_repeat_the_port", "cfg_05_names_of_variables_are_checked_in_every_list"],
    ),
    row(
        "14",
        Yes,
        "names of runtimes",
        &[
            "the_examples_of_the_app_files_description_give_their_entries",
            "an_unknown_runtime_is_answered_with_the_nearest_name",
        ],
    ),
    row(
        "15",
        Yes,
        "a lock at any level, of whole numbers",
        &[
            "the_examples_of_the_app_files_description_give_their_entries",
            "components_are_numbers_and_not_decimals",
            "a_lock_never_resolves_outside_itself",
        ],
    ),
    row("16", No, "a lock by an option", &["every_key_has_an_option_that_replaces_it_and_the_plan_says_so"]),
    open(
        "17",
        No,
        "a lock to bytes, and why an entry was taken",
        &[
            "a_pinned_digest_must_be_that_of_the_platform",
            "the_answer_says_why",
            "the_report_and_the_labels_say_which_runtime_was_taken_and_why",
        ],
        "not yet: a command that explains a resolution by itself; the plan does",
    ),
    row(
        "18",
        No,
        "one locked version is the same bytes for ever",
        &[
            "layers_have_the_same_digests_wherever_and_by_whomever_they_are_made",
            "the_same_locks_give_the_same_bytes_anywhere",
        ],
    ),
    row(
        "19",
        Yes,
        "`engines` is read, and a conflict is an error",
        &[
            "engines_that_contradict_the_app_file_are_refused_with_both_places",
            "engines_that_nothing_satisfies_are_a_conflict",
        ],
    ),
    row(
        "20",
        No,
        "other files that name a version are told of, and never choose over the app file",
        &[
            "files_that_ask_for_another_version_are_warned_about_with_both_places",
            "an_app_file_counts_over_files_of_other_tools_and_what_they_ask_for_is_told",
        ],
    ),
    row(
        "21",
        Yes,
        "the catalog tells versions, packages and dates",
        &["the_catalog_lists_its_entries_and_shows_one_with_its_packages"],
    ),
    open(
        "22",
        No,
        "a catalog for machines, signed, with its history",
        &["a_chain_of_revisions_must_be_whole"],
        "not yet: signatures, and a command that compares revisions",
    ),
    row(
        "23",
        Yes,
        "what has ended is warned about, then refused, then permitted by name",
        &[
            "an_end_of_life_runtime_is_refused_unless_it_is_permitted_by_name",
            "an_entry_ages_by_its_dates_alone",
            "end_of_life_is_refused_until_a_permission_names_the_entry",
        ],
    ),
    open("24", No, "releases are announced", &[], "not yet: planned dates in the catalog"),
    row(
        "25",
        No,
        "current lines of both languages",
        &[
            "django_answers_with_a_note_that_a_migration_wrote_and_a_hashed_static_file",
            "typescript_answers_from_compiled_javascript_without_the_compiler",
        ],
    ),
    open(
        "26",
        No,
        "layers of the catalog are images that run",
        &[],
        "not yet: the images of a catalog are pushed, and nothing tries them alone",
    ),
    open(
        "27",
        No,
        "runtimes of one's own",
        &[],
        "not yet: recipes can be given, and nothing tries a private catalog of them",
    ),
    row(
        "28",
        Yes,
        "system packages: a toolchain, and a hint where a package manager is asked for",
        &[
            "a_package_that_was_compiled_in_the_build_answers_and_the_compiler_stays_behind",
            "system_package_managers_are_warned_about",
            "a_system_package_manager_gets_a_hint",
        ],
    ),
    row(
        "29",
        Yes,
        "`/app` holds the whole repository, and commands run in the directory of the app",
        &[
            "the_whole_repository_is_in_the_image_and_commands_run_in_the_directory_of_the_app",
            "a_service_of_a_monorepo_answers_with_a_library_from_beside_it",
        ],
    ),
    row(
        "30",
        No,
        "the app runs as an ordinary user, or as the one that is asked for",
        &["what_options_give_is_in_the_image"],
    ),
    row(
        "31",
        No,
        "an ignore file, and no `.git` in an image",
        &[
            "what_the_ignore_file_leaves_out_reaches_neither_the_commands_nor_the_image",
            "a_repositorys_own_files_never_enter_an_image",
        ],
    ),
    row(
        "32",
        No,
        "a start command gets a shell where its text needs one",
        &[
            "the_start_command_of_the_image_has_the_form_that_its_text_needs",
            "an_app_in_shell_form_gets_its_variables_and_ends_on_sigterm",
            "a_start_command_gets_no_shell_when_none_is_wanted_and_one_when_it_is",
        ],
    ),
    row(
        "33",
        No,
        "start commands of several lines, and lists",
        &[
            "the_start_command_of_the_image_has_the_form_that_its_text_needs",
            "a_start_command_as_a_list_is_a_program_and_its_arguments",
        ],
    ),
    row(
        "34",
        No,
        "the image knows its start command, variables, directory and port",
        &[
            "what_options_give_is_in_the_image",
            "an_app_in_shell_form_gets_its_variables_and_ends_on_sigterm",
            "the_config_says_how_the_app_starts",
        ],
    ),
    row(
        "35",
        No,
        "labels and annotations",
        &[
            "what_options_give_is_in_the_image",
            "two_checkouts_of_a_commit_give_one_image_that_names_it",
            "the_report_and_the_labels_say_which_runtime_was_taken_and_why",
        ],
    ),
    row("36", No, "the commit, as a label", &["two_checkouts_of_a_commit_give_one_image_that_names_it"]),
    row(
        "37",
        No,
        "any registry, and the digest",
        &[
            "flask_answers_and_its_packages_lie_outside_the_app",
            "what_was_built_earlier_is_pushed_later_under_the_same_digest",
        ],
    ),
    row(
        "38",
        No,
        "no daemon and no root",
        &["another_user_builds_pushes_and_gets_an_answer_from_python", "another_user_runs_every_phase"],
    ),
    row(
        "39",
        No,
        "the same digests here and there",
        &[
            "root_and_another_user_get_one_digest",
            "apps_without_network_have_one_digest_in_two_directories_time_zones_and_umasks",
        ],
    ),
    row(
        "40",
        No,
        "the same bytes from the same input",
        &[
            "apps_without_network_have_one_digest_in_two_directories_time_zones_and_umasks",
            "flask_has_one_digest",
            "express_has_one_digest",
        ],
    ),
    open(
        "41",
        No,
        "a cache, and dependencies in a layer of their own",
        &["dependencies_in_app_go_to_the_lower_layer_and_each_directory_appears_once"],
        "not yet: results of commands are not kept for the next build",
    ),
    row(
        "42",
        No,
        "runtime layers are mounted",
        &["runtime_layers_are_mounted_with_no_byte_sent_and_in_at_most_twelve_requests"],
    ),
    row("43", Yes, "images for amd64", &["flask_answers_and_its_packages_lie_outside_the_app"]),
    row(
        "44",
        No,
        "arm64, and both at once",
        &[
            "an_app_without_build_commands_becomes_an_index_of_two_platforms",
            "commands_that_need_no_foreign_program_serve_a_foreign_platform",
        ],
    ),
    row(
        "45",
        Yes,
        "branches of hosts of code",
        &[
            "branches_tags_and_commits_are_fetched_by_every_name",
            "row_45_repositories_are_found_at_the_three_hosts_wherever_they_are",
        ],
    ),
    row(
        "46",
        No,
        "archives, any git address, commits and tags",
        &[
            "a_directory_and_every_archive_of_it_give_the_same_layers",
            "branches_tags_and_commits_are_fetched_by_every_name",
            "row_46_a_branch_a_tag_and_a_commit_of_any_git_remote_are_sources",
            "row_46_an_archive_on_a_server_is_a_source",
        ],
    ),
    row(
        "47",
        Yes,
        "an app in a directory of a larger repository",
        &[
            "the_whole_repository_is_in_the_image_and_commands_run_in_the_directory_of_the_app",
            "a_service_of_a_monorepo_answers_with_a_library_from_beside_it",
            "row_47_the_directory_of_the_app_is_named_with_the_source_or_by_the_option",
        ],
    ),
    row(
        "48",
        Yes,
        "a build is due when the directory of the app has changed",
        &["row_48_a_build_is_due_when_something_in_the_source_directory_changed_and_not_otherwise"],
    ),
    row("49", No, "shared paths count as well", &["row_49_shared_paths_make_a_build_due_as_well"]),
    row(
        "50",
        No,
        "pushes that come while one is built",
        &[
            "what_is_pushed_during_a_build_is_built_afterwards_exactly_once",
            "row_50_what_was_pushed_before_a_crash_is_built_once_more_and_is_the_same",
        ],
    ),
    row(
        "51",
        No,
        "the way back to an earlier build",
        &["what_was_built_earlier_is_pushed_later_under_the_same_digest"],
    ),
    row(
        "52",
        Yes,
        "everything is checked before anything runs",
        &[
            "a_file_that_is_wrong_in_many_ways_is_refused_at_once_and_before_any_work",
            "every_mistake_of_an_app_file_is_named_in_one_run",
        ],
    ),
    row(
        "53",
        No,
        "errors with their places, warnings, a schema, a linter",
        &[
            "a_file_that_is_wrong_in_many_ways_is_refused_at_once_and_before_any_work",
            "each_planted_fault_of_a_broken_file_is_found_at_its_place_and_no_other",
            "there_is_no_false_alarm",
            "it_is_a_schema_of_draft_seven",
        ],
    ),
    row(
        "54",
        Yes,
        "the phase before each line of the log",
        &[
            "every_phase_has_its_prefix_and_stops_at_the_first_command_that_fails",
            "a_failing_command_is_named_with_its_phase_its_number_its_line_and_both_streams",
            "output_carries_its_phase_and_cannot_drive_a_terminal",
        ],
    ),
    row(
        "55",
        Part,
        "both streams, the exit code and the command that failed",
        &[
            "a_failing_command_is_named_with_its_phase_its_number_its_line_and_both_streams",
            "a_flood_on_one_stream_leaves_the_last_lines_of_the_other",
        ],
    ),
    row(
        "56",
        Part,
        "the result for machines, also of a failure, and events",
        &[
            "a_failing_command_is_named_with_its_phase_its_number_its_line_and_both_streams",
            "a_failure_is_written_too",
            "json_events_are_one_object_a_line",
        ],
    ),
    open(
        "57",
        No,
        "what is inside, how it was made, and a signature",
        &[],
        "not yet: nothing is attached to an image",
    ),
    open("58", No, "which images run something old", &[], "not yet: there is no audit"),
    row(
        "59",
        No,
        "credentials of a private index in the build",
        &["checklist_row_59_a_private_index_is_reached_with_a_secret_that_no_layer_holds"],
    ),
    row(
        "60",
        Part,
        "the size of each layer, and a limit",
        &["an_image_that_is_larger_than_allowed_is_refused_with_the_size_of_each_layer"],
    ),
];
