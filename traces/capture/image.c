// SPDX-License-Identifier: GPL-2.0-or-later
//
// The mappings of a program image before its first instruction: VMAs, room for the stack and for the heap.
//
// Valgrind keeps that room as reservations: one below the stack, that can shrink at its upper end, and one above the
// first page of the heap, that can shrink at its lower end. That page is there before the program asks for it, and is
// left out.
#include "capture.h"
#include "pub_tool_libcproc.h"

enum { kMostSegments = 30000 };  // VG_N_SEGMENTS, coregrind/m_aspacemgr/aspacemgr-linux.c
static Addr starts[kMostSegments];

static void send_area(enum AreaKind kind, Addr start, Addr end, const NSegment* s, const HChar* name) {
  const ULong kProt = (s->hasR ? VKI_PROT_READ : 0) | (s->hasW ? VKI_PROT_WRITE : 0) | (s->hasX ? VKI_PROT_EXEC : 0);
  const Bool is_file = s->kind == SkFileC;
  const ULong flags = VKI_MAP_PRIVATE | (is_file ? 0 : VKI_MAP_ANONYMOUS);
  const ULong words[] = {kind, start, end - start, kProt, flags, is_file ? s->offset : 0, s->dev, s->ino};
  stream_message(kArea, words, 8, name);
}

static const NSegment* segment_above(const NSegment* s) { return VG_(am_find_nsegment)(s->end + 1); }

static Bool is_room(const NSegment* s, ShrinkMode mode) { return s && s->kind == SkResvn && s->smode == mode; }

static void send_segment(const NSegment* s) {
  if (is_room(s, SmUpper)) {
    const NSegment* stack = segment_above(s);
    if (stack) send_area(kStackRoom, s->start, stack->start, s, "[stack]");
  } else if (is_room(s, SmLower)) {
    const NSegment* first = VG_(am_find_nsegment)(s->start - 1);
    if (first) send_area(kHeapRoom, first->start, s->end + 1, s, "[heap]");
  } else if (s->kind == SkFileC) {
    send_area(kVma, s->start, s->end + 1, s, VG_(am_get_filename)(s));
  } else if ((s->kind == SkAnonC || s->kind == SkShmC) && !is_room(segment_above(s), SmLower)) {
    const NSegment* below = VG_(am_find_nsegment)(s->start - 1);
    send_area(kVma, s->start, s->end + 1, s, is_room(below, SmUpper) ? "[stack]" : NULL);
  }
}

void send_image(void) {
  const Int count = VG_(am_get_segment_starts)(SkAnonC | SkFileC | SkShmC | SkResvn, starts, kMostSegments);
  for (Int i = 0; i < count; ++i) send_segment(VG_(am_find_nsegment)(starts[i]));
  HChar command[VKI_PATH_MAX];
  VG_(client_cmd_and_args)(command, sizeof command);
  const ULong words[] = {stream_now(), stream_current_thread()};
  stream_message(kStart, words, 2, command);
}
