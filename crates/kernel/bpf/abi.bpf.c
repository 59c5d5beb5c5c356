/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * One global of each type of wire.h, so that type information holds them all: `cargo xtask codegen`
 * makes the Rust types from it. Never loaded. Compiled with -Wpadded -Werror: padding that nobody
 * wrote down would carry bytes of kernel memory to user space.
 */
#include "wire.h"

enum ring abi_ring;
enum kind abi_kind;
enum provider abi_provider;
enum rec_flag abi_rec_flag;
enum task_flag abi_task_flag;
enum attr_change abi_attr_change;
enum loss abi_loss;

struct span abi_span;
struct rec_header abi_rec_header;
struct rec_task abi_rec_task;
struct rec_ids abi_rec_ids;
struct rec_file abi_rec_file;
struct rec_net abi_rec_net;
struct rec_act abi_rec_act;
