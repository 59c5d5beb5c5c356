//! The table of figures: name, type, labels, and what each tells.

use super::Kind;

macro_rules! metrics {
    ($($kind:ident $variant:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// A figure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// All, in the order in which they are told.
            pub(crate) const ALL: &'static [Metric] = &[$(Metric::$variant),*];

            /// Its name.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Metric::$variant => concat!("aegisbpf_", $name),)* }
            }

            /// Its type.
            pub(crate) fn kind(self) -> Kind {
                match self { $(Metric::$variant => Kind::$kind,)* }
            }

            /// Names of its labels.
            pub(crate) fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$variant => &[$($label),*],)* }
            }

            /// What it tells.
            pub(crate) fn help(self) -> &'static str {
                match self { $(Metric::$variant => $help,)* }
            }
        }
    };
}

metrics! {
    Gauge BuildInfo "build_info" ["version"]
        "1, with the version of the agent.";
    Gauge StartTime "start_time_seconds" []
        "When the agent was started, in seconds since 1970.";
    Gauge WorkerStartTime "worker_start_time_seconds" []
        "When its worker was: what the worker counts begins anew then.";
    Counter WorkerRestarts "worker_restarts_total" []
        "Workers that ended and were started again.";
    Gauge ResidentBytes "process_resident_memory_bytes" ["process"]
        "Resident memory of `guard` and `worker`.";
    Counter CpuSeconds "process_cpu_seconds_total" ["process"]
        "Processor time of `guard` and `worker`.";
    Gauge TierInfo "tier_info" ["tier"]
        "1, with the tier in which the host is observed: `lsm`, `fallback` or `observe`.";
    Gauge Operations "operations" ["state"]
        "Operations by what this kernel lets the agent do about them, as `aegisbpf doctor` has them.";
    Gauge Mode "mode" ["mode"]
        "1 for the mode that holds: `detect` without policies, `audit` if they are reported, `enforce` if they are carried out.";

    Counter EventsSent "events_sent_total" ["operation"]
        "Records that the kernel half put into a ring, by operation.";
    Counter EventsDelivered "events_delivered_total" ["operation"]
        "Records that this worker took out of the rings: without a restart what was sent, but for what waits.";
    Counter EventsDropped "events_dropped_total" ["ring", "cause"]
        "Events that reached no ring, by the ring they were meant for and the cause. What was seen is what was sent and this.";
    Counter EventsIncomplete "events_incomplete_total" ["ring", "cause"]
        "Events that were sent without a part that could not be read or kept, by that part.";
    Counter EventsMalformed "events_malformed_total" []
        "Records that could not be decoded; they are among the sent, not among the delivered.";
    Counter Events "events_total" []
        "Events that were shown to the rules.";
    Counter EventsUnresolved "events_unresolved_total" []
        "Events of a process that is not in the table.";
    Histogram EventSeconds "event_seconds" []
        "Processor time from a record to its alerts, of one event in 1,024 and the first of each second.";
    Gauge RingBytes "ring_bytes" ["ring"]
        "Bytes that wait in a ring.";
    Gauge RingSize "ring_size_bytes" ["ring"]
        "Bytes that fit into a ring.";
    Gauge Processes "processes" ["state"]
        "Processes in the table: `running`, and `ended` that are still known.";
    Counter ProcessesEvicted "processes_evicted_total" []
        "Processes that were forgotten early because the table was full.";
    Gauge ProcessTableBytes "process_table_bytes" []
        "Bytes of executables, arguments and environments in the table.";
    Gauge MemberBytes "partial_match_bytes" []
        "Bytes of events that are kept because a later alert may name them.";
    Counter MembersEvicted "partial_match_events_evicted_total" []
        "Such events that were given up for lack of room.";
    Counter PartialsEvicted "partial_matches_evicted_total" []
        "Partial matches of sequences that were given up for lack of room.";

    Gauge RulesLoaded "rules_loaded" []
        "Rules that run.";
    Gauge RulesRefused "rules_refused" []
        "Rules that were left out (`--keep-going`).";
    Gauge RulesSlow "rules_slow" []
        "Rules that take too much of each event.";
    Gauge RulesNoisy "rules_noisy" []
        "Rules that raised so many alerts that the rest is only counted.";
    Gauge RulesGeneration "rules_generation" []
        "The generation of rules that runs; 0: it is not kept.";
    Gauge RulesAge "rules_age_seconds" []
        "How long this worker has been running that generation.";
    Gauge RulesTrial "rules_trial_left_seconds" []
        "How long it is still on trial; 0: it is not.";
    Gauge RulesHeldBack "rules_held_back" []
        "1 while the directories are not read: after a rollback, or after rules that broke.";
    Counter RulesReverted "rules_reverted_total" []
        "Generations that broke and were taken back since this worker started.";
    Counter RulesUnkept "rules_unkept_total" []
        "Sets of rules that run or ran and could not be kept as a generation, since then.";
    Counter RuleMatches "rule_matches_total" ["rule"]
        "Matches of each rule; those of more than 500 rules are summed up as `(other)`.";
    Counter RuleAlerts "rule_alerts_total" ["rule"]
        "Alerts of each rule that were told.";
    Counter RuleSuppressed "rule_alerts_suppressed_total" ["rule"]
        "Alerts of each rule that were only counted, because it had raised too many.";
    Gauge RuleCost "rule_event_seconds" ["rule"]
        "Processor time that each rule takes of an event, on average over the last minutes.";
    Counter Alerts "alerts_total" []
        "Alerts that were told, those about denials included.";
    Counter AlertsCovered "alerts_covered_total" []
        "Matches that a suppression of the operator covers.";
    Counter AlertsRepeated "alerts_repeated_total" []
        "Matches left out because they would have said of the same file what was just said.";

    Counter ScriptCalls "script_calls_total" []
        "Questions that scripts were asked, those of before the rules were read again included.";
    Gauge ScriptQuarantined "script_quarantined" []
        "Scripts that are in quarantine now.";
    Counter ScriptViolations "script_violations_total" ["script", "cause"]
        "Incidents by `script` and `cause`; those that are no violation are among them.";

    Gauge PolicyGeneration "policy_generation" []
        "The generation of policies that is in force; 0: none is.";
    Gauge PolicyAge "policy_age_seconds" []
        "How long ago that generation was made.";
    Gauge PolicyTierInfo "policy_tier_info" ["tier"]
        "1, with the tier that carries policies out.";
    Gauge PolicyDegraded "policy_degraded_operations" []
        "Operations that policies in force name, and of which it was accepted that this kernel cannot deny them.";
    Counter PolicyVerdicts "policy_verdicts_total" ["outcome"]
        "Requests by what came of them: `denied`, `killed`, `would_deny`, `reported`.";
    Counter PolicyDenials "policy_rule_verdicts_total" ["rule", "outcome"]
        "The same by policy and rule; what is beyond 256 of them is summed up as `(other)`.";
    Counter PolicyUntold "policy_untold_total" []
        "Denials that were counted and not told one by one.";
    Counter PolicyDecisionsLost "policy_decisions_lost_total" []
        "Denials of which the kernel half could not tell.";
    Gauge Emergency "emergency" []
        "1 while all enforcement is switched off.";

    Counter Actions "actions_total" ["rule", "verb", "outcome"]
        "Actions that rules asked for, by `rule`, `verb` and `outcome`.";
    Gauge ActionsInEffect "actions_in_effect" []
        "Actions in effect that can be undone.";
    Gauge ActionsBreaker "actions_breaker_tripped" []
        "1 when rules asked for so much that all is only reported.";
    Gauge ActionsWaiting "actions_waiting" []
        "Actions that wait for what their rules may do to be read.";
    Counter ActionsAsked "actions_asked_total" []
        "Actions that the guard was asked for.";
    Counter ActionsLeftOut "actions_left_out_total" []
        "Matches whose rule wants an action and for which none was asked: nobody could be named, or they were too old.";
    Gauge Isolations "isolations" []
        "Isolations from the network that are in effect.";

    Gauge AuditLines "audit_lines" []
        "Number of the last line of the audit log.";
    Counter AuditLost "audit_lost_total" ["process"]
        "Lines that could not be written to the audit log, by who wanted to: `guard` or `worker`.";
    Gauge AuditBroken "audit_broken" []
        "1 when the lines of the audit log did not hold each other at the last look, which is at the start and each hour.";

    Counter OutputLines "output_lines_total" []
        "Lines for standard output.";
    Counter OutputDropped "output_dropped_total" []
        "Lines that standard output was too slow for.";
    Counter OutputItems "output_items_total" ["output", "outcome"]
        "What became of what each output (`outputs.to`) read from the spool: `delivered`, `passed_over` (below its minimum), `refused` by its receiver, `lost` because the spool had given it up.";
    Counter OutputFailures "output_failures_total" ["output"]
        "Tries of each output that failed; each is made again.";
    Gauge OutputDelivering "output_delivering" ["output"]
        "1 while its receiver takes what it is told; 0 from a try that failed to the next that does not.";
    Gauge OutputWaitingBytes "output_waiting_bytes" ["output"]
        "Bytes of the spool that each output has still to hand over.";
    Gauge OutputWaitingSeconds "output_waiting_seconds" ["output"]
        "How old the first alert is that waits there; 0: none does.";
    Counter ForwarderRestarts "output_forwarder_restarts_total" []
        "Processes that hand over what is in the spool, and that ended and were started again.";
    Gauge SpoolSize "spool_size_bytes" []
        "Bytes that the spool may hold (`outputs.spool`); what is more goes, the oldest first.";
    Counter SpoolDropped "spool_dropped_total" []
        "Lines that the spool never had, because its disk was too slow or full.";
    Gauge Clients "clients" []
        "Connected readers of events and alerts.";
    Gauge Recordings "recordings" []
        "Recordings that run, the history included.";
    Counter RecordingLost "recording_lost_total" []
        "Items that no recording has, because the writer was too slow.";
    Counter RecordingFramesLost "recording_frames_lost_total" []
        "Frames that one recording lacks, because its reader or the disk was too slow.";
    Gauge HistoryBytes "history_bytes" []
        "Bytes of the history on the disk.";

    Counter ProgramSeconds "program_run_seconds_total" ["program"]
        "Time that each BPF program ran; only while the host has `kernel.bpf_stats_enabled=1`, which costs each run some nanoseconds.";
    Counter ProgramRuns "program_runs_total" ["program"]
        "How often it ran, then.";
    Gauge MapEntries "map_entries" ["map"]
        "Entries of the maps that hold what rules watch, up to 4,096: more are not counted.";
    Gauge MapSize "map_entries_max" ["map"]
        "Entries that fit into them.";
}
