// SPDX-License-Identifier: GPL-2.0-or-later
//
// Adds to each block of code what writes down its references.
//
// A block looks at the buffer's end once, when it begins. Where the next reference goes, and how many instructions have
// retired since the last one, lie in shadow registers of the thread between blocks; both are set again before each exit
// of a block. A block that faults half-way writes nothing down: its references would be those of the next attempt.
#include "capture.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_machine.h"

typedef struct {
  IRSB* out;
  Int position_offset, tail_offset;  // in the guest state
  IRTemp at;                         // :: Ity_I64, where word 0 of this block goes
  IRTemp tail;                       // :: Ity_I64, instructions retired behind the reference before this block
  Bool has_tail;                     // `tail` is still to be added to a reference
  UInt words;                        // written down behind `at`
  UInt all_words;
  UInt since;      // instructions since the last reference
  Bool is_repeat;  // of a string instruction
  // The last load, if a store to the same place would make it a read-modify-write.
  IRConst* load_word;
  IRExpr* load_address;
  UInt load_size;
} Block;

static IRExpr* number(ULong value) { return IRExpr_Const(IRConst_U64(value)); }

static IRTemp assign(Block* b, IRType type, IRExpr* value) {
  const IRTemp t = newIRTemp(b->out->tyenv, type);
  addStmtToIRSB(b->out, IRStmt_WrTmp(t, value));
  return t;
}

static IRExpr* binop(Block* b, IROp op, IRExpr* x, IRExpr* y) {
  return IRExpr_RdTmp(assign(b, Ity_I64, IRExpr_Binop(op, x, y)));
}

static IRExpr* position(Block* b) {
  return b->words == 0 ? IRExpr_RdTmp(b->at)
                       : binop(b, Iop_Add64, IRExpr_RdTmp(b->at), number(b->words * sizeof(ULong)));
}

static ULong attributes(const Block* b, enum RefKind kind, UInt size) {
  return (ULong)kind << kKindShift | (ULong)(size - 1) << kSizeShift | (ULong)b->is_repeat << kRepeatShift |
         (ULong)b->since << kGapShift;
}

// One word: `address` is an atom. Returns the constant of its attributes, NULL if there is none to change.
static IRConst* write_word(Block* b, enum RefKind kind, IRExpr* address, UInt size) {
  ULong bits = attributes(b, kind, size);
  IRConst* constant = NULL;
  IRExpr* word;
  if (address->tag == Iex_Const) {
    word = number(bits | address->Iex.Const.con->Ico.U64);
  } else {
    constant = IRConst_U64(bits);
    word = binop(b, Iop_Or64, address, IRExpr_Const(constant));
  }
  if (b->has_tail) {
    IRExpr* tail = binop(b, Iop_Shl64, IRExpr_RdTmp(b->tail), IRExpr_Const(IRConst_U8(kGapShift)));
    word = binop(b, Iop_Add64, word, tail);
    b->has_tail = False;
  }
  addStmtToIRSB(b->out, IRStmt_Store(Iend_LE, position(b), word));
  ++b->words, ++b->all_words;
  b->since = 0;
  return constant;
}

// Large accesses (fxsave, xsave) are written down in pieces.
static void write_access(Block* b, enum RefKind kind, IRExpr* address, UInt size) {
  IRConst* constant = NULL;
  for (UInt done = 0; done < size; done += kMostSize) {
    IRExpr* piece = done == 0                   ? address
                    : address->tag == Iex_Const ? number(address->Iex.Const.con->Ico.U64 + done)
                                                : binop(b, Iop_Add64, address, number(done));
    constant = write_word(b, kind, piece, size - done < kMostSize ? size - done : kMostSize);
  }
  const Bool may_be_modified = kind == kLoad && size <= kMostSize;
  b->load_word = may_be_modified ? constant : NULL;
  b->load_address = address, b->load_size = size;
}

static Bool is_same_atom(const IRExpr* a, const IRExpr* b) {
  return a->tag == Iex_RdTmp && b->tag == Iex_RdTmp && a->Iex.RdTmp.tmp == b->Iex.RdTmp.tmp;
}

static void write_store(Block* b, IRExpr* address, UInt size) {
  if (b->load_word && b->load_size == size && is_same_atom(b->load_address, address)) {
    b->load_word->Ico.U64 += (ULong)(kModify - kLoad) << kKindShift;
    b->load_word = NULL;
  } else {
    write_access(b, kStore, address, size);
  }
}

// An access that takes place only if `guard` holds (AVX masks, gathers): what was written is overwritten if it does not.
// The instructions up to it are left for the reference behind it.
static void write_guarded(Block* b, enum RefKind kind, IRExpr* address, UInt size, IRExpr* guard) {
  const UInt before = b->words, since = b->since;
  b->since = 0;
  write_access(b, kind, address, size);
  b->since = since;
  b->load_word = NULL;
  IRExpr* taken = position(b);
  b->words = before;
  IRExpr* not_taken = position(b);
  b->at = assign(b, Ity_I64, IRExpr_ITE(guard, taken, not_taken));
  b->words = 0;
}

static Bool is_always(const IRExpr* guard) {
  return guard == NULL || (guard->tag == Iex_Const && guard->Iex.Const.con->Ico.U1);
}

static void write_maybe(Block* b, enum RefKind kind, IRExpr* address, UInt size, IRExpr* guard) {
  if (is_always(guard)) write_access(b, kind, address, size);
  else write_guarded(b, kind, address, size, guard);
}

static void begin_block(Block* b) {
  b->at = assign(b, Ity_I64, IRExpr_Get(b->position_offset, Ity_I64));
  b->tail = assign(b, Ity_I64, IRExpr_Get(b->tail_offset, Ity_I64));
  b->has_tail = True;
  IRExpr* limit = number((ULong)(stream_buffer + kBufferBytes));
  const IRTemp is_full = assign(b, Ity_I1, IRExpr_Binop(Iop_CmpLE64U, limit, IRExpr_RdTmp(b->at)));
  IRDirty* call = unsafeIRDirty_0_N(1, "stream_overflow", VG_(fnptr_to_fnentry)(stream_overflow),
                                    mkIRExprVec_1(IRExpr_RdTmp(b->at)));
  call->guard = IRExpr_RdTmp(is_full);
  addStmtToIRSB(b->out, IRStmt_Dirty(call));
  IRExpr* start = number((ULong)(stream_buffer + kSegmentHeader));
  b->at = assign(b, Ity_I64, IRExpr_ITE(IRExpr_RdTmp(is_full), start, IRExpr_RdTmp(b->at)));
}

static void commit(Block* b) {
  addStmtToIRSB(b->out, IRStmt_Put(b->position_offset, position(b)));
  addStmtToIRSB(b->out, IRStmt_Put(b->tail_offset, number(b->since)));
}

// movs cmps stos lods scas ins outs behind f2 or f3: the block of such an instruction runs once per iteration.
static Bool is_repeated_string(Addr code, UInt length) {
  const UChar* p = (const UChar*)code;
  Bool is_repeated = False;
  for (UInt i = 0; i < length; ++i) {
    if (p[i] == 0xf2 || p[i] == 0xf3) is_repeated = True;
    else if (p[i] != 0x66 && p[i] != 0x67 && (p[i] & 0xf0) != 0x40)
      return is_repeated &&
             ((p[i] >= 0xa4 && p[i] <= 0xa7) || (p[i] >= 0xaa && p[i] <= 0xaf) || (p[i] >= 0x6c && p[i] <= 0x6f));
  }
  return False;
}

static void begin_instruction(Block* b, Addr code, UInt length, Addr* page) {
  ++b->since;
  b->load_word = NULL;
  b->is_repeat = is_repeated_string(code, length);
  if (length == 0) length = 1;  // what Valgrind puts in itself
  const Addr last = (code + length - 1) & ~(Addr)(VKI_PAGE_SIZE - 1);
  if (!option_every_fetch && !b->has_tail && last == *page) return;
  write_access(b, kFetch, number(code), length);
  *page = last;
}

static void write_dirty(Block* b, const IRDirty* d) {
  if (d->mFx == Ifx_None) return;
  const enum RefKind kind = d->mFx == Ifx_Read ? kLoad : d->mFx == Ifx_Write ? kStore : kModify;
  write_maybe(b, kind, d->mAddr, d->mSize, d->guard);
  b->load_word = NULL;
}

static UInt size_of(const Block* b, const IRExpr* e) { return sizeofIRType(typeOfIRExpr(b->out->tyenv, e)); }

static void write_references(Block* b, const IRStmt* s) {
  switch (s->tag) {
    case Ist_WrTmp:
      if (s->Ist.WrTmp.data->tag == Iex_Load)
        write_access(b, kLoad, s->Ist.WrTmp.data->Iex.Load.addr, sizeofIRType(s->Ist.WrTmp.data->Iex.Load.ty));
      break;
    case Ist_Store: write_store(b, s->Ist.Store.addr, size_of(b, s->Ist.Store.data)); break;
    case Ist_StoreG: {
      const IRStoreG* g = s->Ist.StoreG.details;
      write_maybe(b, kStore, g->addr, size_of(b, g->data), g->guard);
      break;
    }
    case Ist_LoadG: {
      const IRLoadG* g = s->Ist.LoadG.details;
      IRType loaded, wide;
      typeOfIRLoadGOp(g->cvt, &wide, &loaded);
      write_maybe(b, kLoad, g->addr, sizeofIRType(loaded), g->guard);
      break;
    }
    case Ist_CAS: {
      const IRCAS* c = s->Ist.CAS.details;
      write_access(b, kModify, c->addr, size_of(b, c->dataLo) * (c->dataHi ? 2 : 1));
      break;
    }
    case Ist_Dirty: write_dirty(b, s->Ist.Dirty.details); break;
    case Ist_Exit:
      commit(b);
      b->load_word = NULL;
      break;
    default: break;
  }
}

IRSB* instrument(VgCallbackClosure* closure, IRSB* in, const VexGuestLayout* layout, const VexGuestExtents* extents,
                 const VexArchInfo* host, IRType guest_word, IRType host_word) {
  Block b = {.out = deepCopyIRSBExceptStmts(in),
             .position_offset = layout->total_sizeB + kPositionOffset,
             .tail_offset = layout->total_sizeB + kTailOffset};
  Int i = 0;
  for (; i < in->stmts_used && in->stmts[i]->tag != Ist_IMark; ++i) addStmtToIRSB(b.out, in->stmts[i]);
  if (i == in->stmts_used) return in;
  begin_block(&b);
  Addr page = 0;
  for (; i < in->stmts_used; ++i) {
    const IRStmt* s = in->stmts[i];
    if (s->tag == Ist_IMark) begin_instruction(&b, s->Ist.IMark.addr, s->Ist.IMark.len, &page);
    else write_references(&b, s);
    tl_assert2(b.since <= kMostGap / 2, "%u instructions without a reference", b.since);
    addStmtToIRSB(b.out, in->stmts[i]);
  }
  commit(&b);
  tl_assert2(b.all_words * sizeof(ULong) < kSlackBytes, "%u references in a block", b.all_words);
  return b.out;
}
