// Functions of the host for scripts of kestrel in AssemblyScript, version 1 of the ABI.
//
// A module exports each function that a rule asks: one i32 (a handle of a value) for each argument of
// the rule, and the answer, 0 or 1. Handles are good for one call. Re-export the marker:
//
//   export { kestrel_abi_v1 } from "./kestrel";

/** Says for which version the module was written. */
export function kestrel_abi_v1(): void {}

/** Handle of a declared field, by its position in `fields`. */
@external("kestrel_v1", "field")
export declare function field(index: i32): i32;
/** 0 absent, 1 boolean, 2 integer, 3 float, 4 text, 5 address, 6 list, 7 object. */
@external("kestrel_v1", "value_type")
export declare function value_type(value: i32): i32;
/** An integer, or a boolean as 0 or 1; 0 for anything else. */
@external("kestrel_v1", "value_i64")
export declare function value_i64(value: i32): i64;
/** A float, or an integer as one; 0 for anything else. */
@external("kestrel_v1", "value_f64")
export declare function value_f64(value: i32): f64;
/** Bytes of the text of a text, integer or address; 0 for anything else. */
@external("kestrel_v1", "value_len")
export declare function value_len(value: i32): i32;
/** Copies that text from `offset` on, at most `cap` bytes; how many it copied. */
@external("kestrel_v1", "value_copy")
export declare function value_copy(value: i32, offset: i32, ptr: i32, cap: i32): i32;
/** Elements of a list; 0 of an absent value, 1 of any other. */
@external("kestrel_v1", "value_count")
export declare function value_count(value: i32): i32;
/** Handle of an element; -1 if there is none. Any other value is a list of itself. */
@external("kestrel_v1", "value_at")
export declare function value_at(value: i32, index: i32): i32;
/** When the event happened, nanoseconds since 1970. There is no other clock. */
@external("kestrel_v1", "event_time")
export declare function event_time(): i64;
/** 1 if the regular expression, by its position in the rule file, is the whole of the value's
 * text or of an element's. */
@external("kestrel_v1", "regex")
export declare function regex(regex: i32, value: i32): i32;
/** The same for bytes of the module's memory. */
@external("kestrel_v1", "regex_text")
export declare function regex_text(regex: i32, ptr: i32, len: i32): i32;
/** 1 if the wildcard pattern is the whole of the value's text or of an element's. */
@external("kestrel_v1", "glob")
export declare function glob(glob: i32, value: i32): i32;
/** The same for bytes of the module's memory. */
@external("kestrel_v1", "glob_text")
export declare function glob_text(glob: i32, ptr: i32, len: i32): i32;
/** Copies what is remembered under a key, at most `cap` bytes; how long it is, -1 if there is
 * nothing. */
@external("kestrel_v1", "state_get")
export declare function state_get(key: i32, key_len: i32, ptr: i32, cap: i32): i32;
/** Remembers a value for so many milliseconds of event time. 1; 0 if it is larger than all of
 * the state. */
@external("kestrel_v1", "state_put")
export declare function state_put(key: i32, key_len: i32, ptr: i32, len: i32, ttl_ms: i64): i32;
/** Begins an alert text, which goes with the alert of the rule. 0 to 4 is informational to
 * critical, -1 leaves it to the rule. 1. */
@external("kestrel_v1", "emit")
export declare function emit(severity: i32, ptr: i32, len: i32): i32;
/** Adds a text to the alert text begun last; 0 if none was begun. */
@external("kestrel_v1", "emit_text")
export declare function emit_text(name: i32, name_len: i32, ptr: i32, len: i32): i32;
/** The same with an integer. */
@external("kestrel_v1", "emit_i64")
export declare function emit_i64(name: i32, name_len: i32, number: i64): i32;
/** The same with a float. */
@external("kestrel_v1", "emit_f64")
export declare function emit_f64(name: i32, name_len: i32, number: f64): i32;
/** The same with a boolean. */
@external("kestrel_v1", "emit_bool")
export declare function emit_bool(name: i32, name_len: i32, flag: i32): i32;
/** Asks for an action (`deny`, `kill`, `quarantine`) by its name. 1 if it is granted; else 0,
 * and the refusal is told. */
@external("kestrel_v1", "request")
export declare function request(ptr: i32, len: i32): i32;
