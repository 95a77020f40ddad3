// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where mappings go. Valgrind gives the heap 8 MiB and places mappings from the bottom up; khugepaged would then see
// VMAs of other sizes and with other neighbours than on Linux. Here the heap has the room up to what lies above it, and
// mappings are placed below 128 MiB under the stack, from the top down, in the highest gap that is large enough.
//
// The functions of coregrind that decide this are replaced at link time (ld --wrap); they are none of the tool
// interface's, and their prototypes are those of Valgrind 3.19.
#include "capture.h"

typedef struct {
  enum { kFixed, kHint, kAny } kind;
  Addr start, length;
} MapRequest;

Bool __real_vgPlain_am_create_reservation(Addr start, SizeT length, ShrinkMode mode, SSizeT extra);
Bool __wrap_vgPlain_am_create_reservation(Addr start, SizeT length, ShrinkMode mode, SSizeT extra);
Addr __real_vgPlain_am_get_advisory(const MapRequest* request, Bool for_client, Bool* ok);
Addr __wrap_vgPlain_am_get_advisory(const MapRequest* request, Bool for_client, Bool* ok);
Addr __real_vgPlain_am_get_advisory_client_simple(Addr start, SizeT length, Bool* ok);
Addr __wrap_vgPlain_am_get_advisory_client_simple(Addr start, SizeT length, Bool* ok);
ULong __wrap_vgPlain_di_notify_mmap(Addr address, Bool allow_valgrind, Int fd);

Bool layout_is_thp_mapping = False;
static Bool heap_is_floating = False;

enum { kMostSegments = 30000 };  // VG_N_SEGMENTS, coregrind/m_aspacemgr/aspacemgr-linux.c
static Addr starts[kMostSegments];
enum { kUsed = SkAnonC | SkAnonV | SkFileC | SkFileV | SkShmC | SkResvn };

// The stack ends 16 MiB below the end of what Valgrind gives programs, 0x2000000000 (aspacemgr-linux.c); Linux begins
// at least 128 MiB below it (MIN_GAP, arch/x86/mm/mmap.c).
static const Addr kTop = 0x2000000000ULL - (16ULL << 20) - (128ULL << 20);
static const SizeT kHugePage = 2ULL << 20;
static const SizeT kHeapGap = 1ULL << 20;  // left free above the heap's room

static Addr align_up(Addr a, SizeT to) { return (a + to - 1) & ~(to - 1); }

// The highest gap of `length` below kTop; 0: none.
static Addr find_gap(SizeT length, SizeT alignment) {
  const Int count = VG_(am_get_segment_starts)(kUsed, starts, kMostSegments);
  Addr end = kTop;
  for (Int i = count - 1; i >= 0; --i) {
    if (starts[i] >= kTop) continue;
    const Addr used_end = VG_(am_find_nsegment)(starts[i])->end + 1;
    if (used_end < end && end - used_end >= length) {
      const Addr start = (end - length) & ~(alignment - 1);
      if (start >= used_end) return start;
    }
    end = starts[i];
  }
  return 0;
}

static Addr place(SizeT length, Addr otherwise, Bool* ok) {
  const SizeT wanted = align_up(length, VKI_PAGE_SIZE);
  // As Linux does since 6.7 (mm/mmap.c: thp_get_unmapped_area for anonymous memory), with the rule of 6.13: only
  // lengths that are a multiple of 2 MiB.
  const Bool is_aligned = option_thp_align && layout_is_thp_mapping && wanted >= kHugePage && wanted % kHugePage == 0;
  Addr start = is_aligned ? find_gap(wanted, kHugePage) : 0;
  if (start == 0) start = find_gap(wanted, VKI_PAGE_SIZE);
  if (start == 0) return otherwise;
  *ok = True;
  return start;
}

Addr __wrap_vgPlain_am_get_advisory(const MapRequest* request, Bool for_client, Bool* ok) {
  const Addr start = __real_vgPlain_am_get_advisory(request, for_client, ok);
  if (!for_client || request->kind == kFixed || request->length == 0) return start;
  if (request->kind == kHint && *ok && start == request->start) return start;
  return place(request->length, start, ok);
}

Addr __wrap_vgPlain_am_get_advisory_client_simple(Addr hint, SizeT length, Bool* ok) {
  const Addr start = __real_vgPlain_am_get_advisory_client_simple(hint, length, ok);
  if (length == 0 || heap_is_floating || (hint != 0 && *ok && start == hint)) {
    heap_is_floating = False;
    return start;
  }
  return place(length, start, ok);
}

// The largest reservation from `start` on, at least `length`; `extra` bytes below it are to be mapped with it.
static Bool reserve_room(Addr start, SizeT length, SSizeT extra) {
  const Int count = VG_(am_get_segment_starts)(kUsed, starts, kMostSegments);
  Int i = 0;
  while (i < count && starts[i] < start + length) ++i;
  if (i == count || starts[i] - start <= length + kHeapGap) return False;
  return __real_vgPlain_am_create_reservation(start, starts[i] - start - kHeapGap, SmLower, extra);
}

// The room of the heap is the one reservation that shrinks at its lower end. Behind the program, its first place, Valgrind
// keeps the space up to 64 MiB for itself; the second is asked for then, and shall be the lowest, with nothing above.
Bool __wrap_vgPlain_am_create_reservation(Addr start, SizeT length, ShrinkMode mode, SSizeT extra) {
  if (mode == SmLower && reserve_room(start, length, extra)) return True;
  const Bool ok = __real_vgPlain_am_create_reservation(start, length, mode, extra);
  heap_is_floating = mode == SmLower && !ok;
  return ok;
}

// No debug information is read: nothing here prints a stack, and large programs start much sooner.
ULong __wrap_vgPlain_di_notify_mmap(Addr address, Bool allow_valgrind, Int fd) { return 0; }
