// ChampSim instruction records: 64 bytes each, without a header; raw or packed with xz, gzip, bzip2 or zstd.
//
// Models:      one instruction per record: its fetch, what its memory operands load, then store. An operand that is both
//              is one reference of kind modify.
// Simplified:  one process, one thread, no system calls. The format tells no sizes: each reference is 1 byte, so that one
//              that reached into the next line or page counts once. Registers and branches are not used. The 88-byte
//              records of CloudSuite are not read.
// Recognised:  by its first records: an instruction pointer, two flags of 0 or 1, and addresses a program can have.
// Source:      ChampSim inc/trace_instruction.h (input_instr): u64 ip; u8 is_branch, branch_taken, 2 written and 4 read
//              registers; u64 2 written and 4 read addresses, 0 for none.
#include <algorithm>
#include <array>
#include <cstring>

#include "sim/trace/trace_foreign.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

struct Instruction {
  std::uint64_t ip = 0;
  std::uint8_t is_branch = 0, branch_taken = 0;
  std::array<std::uint8_t, 2> written_registers{};
  std::array<std::uint8_t, 4> read_registers{};
  std::array<std::uint64_t, 2> stores{};
  std::array<std::uint64_t, 4> loads{};
};
static_assert(sizeof(Instruction) == 64);

// User space of 5-level page tables, or the kernel's half.
bool is_address(std::uint64_t va) { return va >> 56 == 0 || va >> 56 == 0xff; }

bool is_sound(const Instruction& i) {
  return i.ip != 0 && is_address(i.ip) && i.is_branch <= 1 && i.branch_taken <= 1 &&
         std::all_of(i.stores.begin(), i.stores.end(), is_address) &&
         std::all_of(i.loads.begin(), i.loads.end(), is_address);
}

class ChampsimReader : public ForeignReader {
 public:
  explicit ChampsimReader(const std::string& file) : stream_(file) {}
  Kind next(Item& item) override;
  void rewind() override { stream_.rewind(), at_ = filled_ = 0, instructions_ = 0, references_ = reference_ = 0; }
  void describe(TraceInfo& info) const override { info.notes.emplace_back("sizes not recorded: 1 byte per reference"); }

 private:
  bool read_instruction();
  void add(std::uint64_t va, RefKind kind) {
    list_[references_++] = {va, kind == RefKind::fetch ? 1u : 0u, 1, kind, 0};
  }
  InputStream stream_;
  std::vector<Instruction> buffer_ = std::vector<Instruction>(4096);
  std::size_t at_ = 0, filled_ = 0;
  std::uint64_t instructions_ = 0;
  std::array<Record, 7> list_;  // of the current instruction
  std::size_t references_ = 0, reference_ = 0;
};

ForeignReader::Kind ChampsimReader::next(Item& item) {
  if (reference_ == references_ && !read_instruction()) return Kind::end;
  item.record = list_[reference_++];
  return Kind::reference;
}

bool ChampsimReader::read_instruction() {
  if (at_ == filled_) {
    const std::size_t n = stream_.read({reinterpret_cast<std::uint8_t*>(buffer_.data()), 64 * buffer_.size()});
    if (n % 64 != 0)
      trace_error(stream_.name(), instructions_, stream_.offset(),
                  fmt::format("the last record has {} bytes; records of 64 bytes are right", n % 64));
    at_ = 0, filled_ = n / 64;
    if (filled_ == 0) return false;
  }
  const Instruction& i = buffer_[at_++];
  if (!is_sound(i))
    trace_error(stream_.name(), instructions_, 64 * instructions_,
                "no ChampSim record: an instruction pointer, flags of 0 or 1, then addresses, is right");
  ++instructions_;
  references_ = reference_ = 0;
  add(i.ip, RefKind::fetch);
  const auto is_stored = [&](std::uint64_t va) { return std::count(i.stores.begin(), i.stores.end(), va) > 0; };
  const auto is_loaded = [&](std::uint64_t va) { return std::count(i.loads.begin(), i.loads.end(), va) > 0; };
  for (const std::uint64_t va : i.loads)
    if (va != 0 && !is_stored(va)) add(va, RefKind::load);
  for (const std::uint64_t va : i.stores)
    if (va != 0) add(va, is_loaded(va) ? RefKind::modify : RefKind::store);
  return true;
}

}  // namespace

bool is_champsim(const std::string& file) {
  std::vector<Instruction> first(64);
  InputStream stream(file);
  std::size_t n = 0;
  try {
    n = stream.read({reinterpret_cast<std::uint8_t*>(first.data()), 64 * first.size()});
  } catch (const TraceError&) {
    return false;  // what cannot be unpacked has no format
  }
  first.resize(n / 64);
  return !first.empty() && std::all_of(first.begin(), first.end(), is_sound);
}

std::unique_ptr<TraceSource> open_champsim(const std::string& file) {
  return make_foreign_source(std::make_unique<ChampsimReader>(file), named_info(file, "champsim"), {file});
}

}  // namespace collapsar
