/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Functions of the host for scripts of kestrel in C, version 1 of the ABI.
 *
 * A module exports its memory, `kestrel_abi_v1`, and each function that a rule asks: one int32_t (a
 * handle of a value) for each argument of the rule, and the answer, 0 or 1. Handles are good for
 * one call.
 *
 *   clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o rule.wasm rule.c
 */
#ifndef KESTREL_H
#define KESTREL_H

#include <stdint.h>

/* Makes a function one that rules can ask. */
#define KESTREL_EXPORT(name) __attribute__((export_name(#name)))
#define KESTREL_IMPORT(name) __attribute__((import_module("kestrel_v1"), import_name(#name))) extern

/* Says for which version the module was written. */
KESTREL_EXPORT(kestrel_abi_v1) void kestrel_abi_v1(void)
{
}

/* What value_type answers. */
enum {
	KESTREL_ABSENT = 0,
	KESTREL_BOOLEAN = 1,
	KESTREL_INTEGER = 2,
	KESTREL_FLOAT = 3,
	KESTREL_TEXT = 4,
	KESTREL_ADDRESS = 5,
	KESTREL_LIST = 6,
	KESTREL_OBJECT = 7,
};

/* Handle of a declared field, by its position in `fields`. */
KESTREL_IMPORT(field) int32_t kestrel_field(int32_t index);
/* 0 absent, 1 boolean, 2 integer, 3 float, 4 text, 5 address, 6 list, 7 object. */
KESTREL_IMPORT(value_type) int32_t kestrel_value_type(int32_t value);
/* An integer, or a boolean as 0 or 1; 0 for anything else. */
KESTREL_IMPORT(value_i64) int64_t kestrel_value_i64(int32_t value);
/* A float, or an integer as one; 0 for anything else. */
KESTREL_IMPORT(value_f64) double kestrel_value_f64(int32_t value);
/* Bytes of the text of a text, integer or address; 0 for anything else. */
KESTREL_IMPORT(value_len) int32_t kestrel_value_len(int32_t value);
/* Copies that text from `offset` on, at most `cap` bytes; how many it copied. */
KESTREL_IMPORT(value_copy)
int32_t kestrel_value_copy(int32_t value, int32_t offset, void *ptr, int32_t cap);
/* Elements of a list; 0 of an absent value, 1 of any other. */
KESTREL_IMPORT(value_count) int32_t kestrel_value_count(int32_t value);
/* Handle of an element; -1 if there is none. Any other value is a list of itself. */
KESTREL_IMPORT(value_at) int32_t kestrel_value_at(int32_t value, int32_t index);
/* When the event happened, nanoseconds since 1970. There is no other clock. */
KESTREL_IMPORT(event_time) int64_t kestrel_event_time(void);
/* 1 if the regular expression, by its position in the rule file, is the whole of the value's
 * text or of an element's. */
KESTREL_IMPORT(regex) int32_t kestrel_regex(int32_t regex, int32_t value);
/* The same for bytes of the module's memory. */
KESTREL_IMPORT(regex_text)
int32_t kestrel_regex_text(int32_t regex, const void *ptr, int32_t len);
/* 1 if the wildcard pattern is the whole of the value's text or of an element's. */
KESTREL_IMPORT(glob) int32_t kestrel_glob(int32_t glob, int32_t value);
/* The same for bytes of the module's memory. */
KESTREL_IMPORT(glob_text)
int32_t kestrel_glob_text(int32_t glob, const void *ptr, int32_t len);
/* Copies what is remembered under a key, at most `cap` bytes; how long it is, -1 if there is
 * nothing. */
KESTREL_IMPORT(state_get)
int32_t kestrel_state_get(const void *key, int32_t key_len, void *ptr, int32_t cap);
/* Remembers a value for so many milliseconds of event time. 1; 0 if it is larger than all of
 * the state. */
KESTREL_IMPORT(state_put)
int32_t kestrel_state_put(const void *key, int32_t key_len, const void *ptr, int32_t len,
                          int64_t ttl_ms);
/* Begins an alert text, which goes with the alert of the rule. 0 to 4 is informational to
 * critical, -1 leaves it to the rule. 1. */
KESTREL_IMPORT(emit) int32_t kestrel_emit(int32_t severity, const void *ptr, int32_t len);
/* Adds a text to the alert text begun last; 0 if none was begun. */
KESTREL_IMPORT(emit_text)
int32_t kestrel_emit_text(const void *name, int32_t name_len, const void *ptr, int32_t len);
/* The same with an integer. */
KESTREL_IMPORT(emit_i64)
int32_t kestrel_emit_i64(const void *name, int32_t name_len, int64_t number);
/* The same with a float. */
KESTREL_IMPORT(emit_f64)
int32_t kestrel_emit_f64(const void *name, int32_t name_len, double number);
/* The same with a boolean. */
KESTREL_IMPORT(emit_bool)
int32_t kestrel_emit_bool(const void *name, int32_t name_len, int32_t flag);
/* Asks for an action (`deny`, `kill`, `quarantine`) by its name. 1 if it is granted; else 0,
 * and the refusal is told. */
KESTREL_IMPORT(request) int32_t kestrel_request(const void *ptr, int32_t len);

#endif
