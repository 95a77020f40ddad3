// SPDX-License-Identifier: GPL-2.0-or-later
//
// The capture tool: runs a program under Valgrind and sends what it does with its address space to `collapsar capture`.
//
// A program of its own: it is linked with Valgrind's core, which is under the GPL, and speaks to collapsar through a
// socket only. Built on the user's machine, for Valgrind 3.19 on x86-64.
//
//   instrument.c  adds to the program's code what writes down each reference
//   stream.c      the buffer those are written to, and the socket behind it
//   events.c      system calls, kernel accesses, threads, fork, exec
//   image.c       the mappings that are there at the start
//   layout.c      where mappings go: as Linux places them, not as Valgrind does
//   main.c        options, and which of the above Valgrind calls
//
// What is sent is described in ../README.md, "The raw stream"; version kStreamVersion.
#pragma once

#include "libvex_ir.h"
#include "pub_tool_aspacemgr.h"
#include "pub_tool_basics.h"
#include "pub_tool_tooliface.h"
#include "pub_tool_vki.h"

enum { kStreamVersion = 1 };

enum Message {
  kHello = 1,
  kArea,
  kStart,
  kReferences,
  kCall,
  kThread,
  kThreadExit,
  kFork,
  kExec,
  kExit,
};

enum AreaKind { kVma, kStackRoom, kHeapRoom };

// A reference is one word: address in bits 0 to 47, then these.
enum { kKindShift = 48, kSizeShift = 51, kRepeatShift = 56, kGapShift = 57 };
enum RefKind { kFetch, kLoad, kStore, kModify, kKernelRead, kKernelWrite };
enum { kMostGap = 127, kMostSize = 32 };  // 7 bits of instructions; size - 1 in 5 bits

// --- options ---
extern const HChar* option_socket;  // where `collapsar capture` listens
extern Bool option_children;        // record forked children, and what they execute
extern Bool option_every_fetch;     // a record for each instruction, not for each block
extern Bool option_thp_align;       // large anonymous mappings begin at 2 MiB, as from Linux 6.7 on

// --- stream.c ---
enum { kBufferBytes = 256 * 1024, kSlackBytes = 32 * 1024, kSegmentHeader = 32 };
extern UChar stream_buffer[kBufferBytes + kSlackBytes];
extern ULong* stream_at;       // where the next reference goes; generated code has it in a shadow register meanwhile
extern Bool stream_is_active;  // False: what is written is thrown away

void stream_connect(Bool is_forked, UInt parent);
void stream_disconnect(void);
void stream_flush(void);
ULong stream_now(void);           // ns
void stream_thread(UInt number);  // whose references follow
UInt stream_current_thread(void);
// One message: `words`, and a text behind them if there is one. Closes the run of references before it.
void stream_message(enum Message type, const ULong* words, UInt count, const HChar* text);
void stream_kernel_access(enum RefKind kind, Addr address, SizeT size);
VG_REGPARM(1) void stream_overflow(ULong at);  // called by generated code

// --- instrument.c ---
enum { kPositionOffset = 0, kTailOffset = 8 };  // in the first shadow area of a thread's registers
IRSB* instrument(VgCallbackClosure* closure, IRSB* in, const VexGuestLayout* layout, const VexGuestExtents* extents,
                 const VexArchInfo* host, IRType guest_word, IRType host_word);

// --- events.c ---
void register_events(void);
void put_position(ThreadId tid);  // tells the thread's shadow register where the next reference goes

// --- image.c ---
void send_image(void);

// --- layout.c ---
extern Bool layout_is_thp_mapping;  // the mmap call under way is of private anonymous memory
