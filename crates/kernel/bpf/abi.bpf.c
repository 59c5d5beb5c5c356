// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Every wire struct once, compiled with -Wpadded -Werror: none has a hole. Not loaded. */
#include "wire.h"

struct rec_task abi_task;
struct rec_ids abi_ids;
struct rec_file abi_file;
struct rec_net abi_net;
struct rec_act abi_act;
struct rec_denial abi_denial;
