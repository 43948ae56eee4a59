// How far an answer can be trusted, and what a pipe or a view is doing, in plain words.

import { ago, count, counted, seconds } from "./words.js";

/**
 * What is to be said of a view first: `{kind, text, why}`; kind is one of bad, doubt, busy, good.
 * `moving`: its size changes at the moment.
 */
export function verdict(view, now, moving) {
  const quality = view.quality ?? {};
  const asOf = seconds(quality.as_of);
  const age = asOf === null ? null : now - asOf;
  if (quality.frozen) {
    return { kind: "bad", text: "waits for a person", why: "A scan wants to remove more at once than is usual. Confirm it or throw it away." };
  }
  if (asOf === null) return { kind: "doubt", text: "knows nothing yet", why: "No agent has told this view anything." };
  if (quality.stale) {
    return { kind: "bad", text: "nobody feeds it", why: `What is shown was true ${ago(age)}; no agent has told of it since.` };
  }
  if (!quality.complete) {
    const gaps = quality.unscanned_total;
    const first = quality.unscanned?.find((gap) => !BY_CHOICE.has(gap.reason));
    const why = gaps ? `${counted(gaps, "directory", "directories")} not listed: ${REASONS[first?.reason] ?? "being looked at"}.` : "Being looked at again.";
    return { kind: "doubt", text: "not complete", why };
  }
  if (quality.suspects) {
    return { kind: "busy", text: moving ? "being written" : "settling", why: `${counted(quality.suspects, "file")} changed so recently that ${quality.suspects === 1 ? "it" : "they"} may still grow.` };
  }
  if (quality.debts) return { kind: "doubt", text: "being checked", why: `${counted(quality.debts, "name")} will be looked at again.` };
  if (moving) return { kind: "busy", text: "being written", why: "Its size has changed within the last seconds." };
  return { kind: "good", text: "complete and quiet", why: age === null ? "" : `As of ${ago(age)}.` };
}

export const REASONS = {
  not_yet: "not looked at yet",
  permission: "no permission to read them",
  io_error: "the storage reports errors",
  vanished_root: "the root has vanished",
  hung: "the storage does not answer",
  overflow: "too many changes at once; being listed again",
  quarantine: "held back",
  excluded: "left out by choice",
  other_device: "on another file system",
};
const BY_CHOICE = new Set(["excluded", "other_device"]);

/** Why something is not stable, one sentence a reason. */
export function reasonText(reason, view) {
  const many = reason.count;
  const texts = {
    suspect: `${counted(many, "file")} changed a moment ago and may still grow`,
    recent_change: `${counted(many, "change")} within the time asked for`,
    debt: `${counted(many, "name")} told of differently; being looked at again`,
    unscanned: `${counted(many, "directory", "directories")} not listed`,
    stale: "nobody tells this view anything at the moment",
    frozen: "a scan waits for a person",
  };
  return texts[reason.kind] ?? `${reason.kind}: ${count(many)}`;
}

export const FLAGS = {
  suspect: "may still grow: it changed a moment ago",
  debt: "told of differently; being looked at again",
  blind: "changed without any agent seeing it happen",
  stale: "nobody feeds it at the moment",
  unscanned: "its contents have not been listed",
  frozen: "its removal waits for a person",
};

/** The same in two or three words, as the figures of the overview have them. */
export const BADGES = {
  suspect: "may still grow",
  debt: "disputed",
  blind: "changed unseen",
  stale: "not fed",
  unscanned: "not listed",
  frozen: "waits for a person",
};

export const ORIGINS = {
  realtime: "seen as it happened",
  snapshot: "seen by a scan",
  audit: "seen by an audit",
  sentinel: "looked at again",
  on_demand: "looked at on request",
};

export const VERDICTS = {
  accepted: "taken",
  older: "older than what is known",
  same: "the same as known",
  debt: "disputed",
  quarantined: "held back",
  stale_epoch: "from a leader that was replaced",
};

/** What a pipe is doing: `{kind, text}`. */
export function doing(pipe) {
  const flags = new Set(pipe.flags ?? []);
  if (flags.has("ERROR")) return { kind: "bad", text: pipe.last_error ?? "in error" };
  if (flags.has("RECONNECTING")) return { kind: "doubt", text: pipe.last_error ? `connecting again: ${pipe.last_error}` : "connecting" };
  if (flags.has("STOPPING") || flags.has("DRAINING")) return { kind: "doubt", text: "sends what is left" };
  if (flags.has("INITIALIZING")) return { kind: "busy", text: "starts" };
  if (flags.has("SNAPSHOT_PHASE")) return { kind: "busy", text: "first scan" };
  if (flags.has("PAUSED") && !flags.has("MESSAGE_PHASE")) return { kind: "doubt", text: pipe.role === "follower" ? "stands by" : "paused" };
  if (flags.has("AUDIT_PHASE")) return { kind: "busy", text: "follows changes, audits" };
  if (flags.has("MESSAGE_PHASE")) return { kind: "good", text: "follows changes" };
  if (flags.has("RUNNING")) return { kind: "busy", text: "asks for its role" };
  return { kind: "doubt", text: "stopped" };
}

export const SESSION_KINDS = { ACTIVE: "good", ESTABLISHING: "busy", STALE: "doubt", EXPIRED: "bad", CLOSED: "doubt", OBSOLETE: "doubt" };
