// Valgrind lackey text: `valgrind --tool=lackey --trace-mem=yes`, with or without `--trace-syscalls=yes`.
//
// Models:      one process, one thread. `I  addr,size` is one instruction and its fetch; ` L`, ` S`, ` M` are its data
//              references. SYSCALL lines, where present, give the mappings that the program makes; a reference may be
//              glued to their tail.
// Simplified:  reference lines name no thread: all are thread 1. A forked child writes into the same log and cannot be
//              told from its parent. What exists before the first system call is inferred from what is touched.
// Fast:        no copy per line.
// Source:      traces/README.md, "Lackey"; lackey's and coregrind's output of Valgrind 3.19.
#include "sim/trace/trace_foreign.h"
#include "sim/trace/trace_lackey_line.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

class LackeyReader : public ForeignReader {
 public:
  explicit LackeyReader(const std::string& file) : lines_(file) {}
  Kind next(Item& item) override {
    switch (lines_.next(item.record, item.event)) {
      case LackeyLines::Kind::reference: return Kind::reference;
      case LackeyLines::Kind::end: return Kind::end;
      case LackeyLines::Kind::event: item.event.pid = item.event.tid = 1; return Kind::event;
    }
    return Kind::end;
  }
  void rewind() override { lines_.rewind(); }

 private:
  LackeyLines lines_;
};

}  // namespace

bool is_lackey(const std::string& file) { return LackeyLines::is_lackey(file); }

std::unique_ptr<TraceSource> open_lackey(const std::string& file) {
  return make_foreign_source(std::make_unique<LackeyReader>(file), named_info(file, "lackey"), {file});
}

}  // namespace collapsar
