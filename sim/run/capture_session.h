// CaptureSession: runs a command under the capture tool and feeds a CaptureRecorder with what it sends.
//
// Models:      nothing. Each process image connects to a socket in a folder of its own below TMPDIR; the recorder says
//              which of them are read.
// Signals:     an interrupt from the terminal is the command's; SIGTERM and SIGHUP are passed on to it. Once the command
//              has ended, any of them ends the capture; what still runs goes on unrecorded.
// Errors:      SimulationError if the tool never answers; TraceError from the recorder. Then the command is killed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/trace/trace_capture.h"

namespace collapsar {

struct CaptureCommand {
  std::vector<std::string> words;
  std::string tool_folder;
  std::function<void()> on_progress;  // called now and then, if there is one
  bool follows_children = false, every_fetch = false, aligns_thp = false;
};

// Returns the command's wait status, when all that is recorded has ended or the recorder is full.
int run_captured(const CaptureCommand& command, CaptureRecorder& recorder);

}  // namespace collapsar
