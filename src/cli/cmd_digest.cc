// bounced digest: one hash over everything the store knows, independent of when it was cut.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "report/digest.h"

namespace bounced::cli {

void add_digest(CLI::App& parser, App& app) {
  CLI::App* command = parser.add_subcommand("digest", "one hash over every logical record");
  auto parts = std::make_shared<bool>(false);
  command->add_flag("--parts", *parts, "one line per kind of record, with its count");
  examples(
      *command,
      "  bounced digest --data /var/lib/bounced\n\n"
      "Two stores that saw the same mail have the same digest, however often either was killed\n"
      "on the way. Not in it: positions, source names, sequence numbers of the feed, caches.");
  command->callback([&app, parts] {
    app.forwardable = true;
    app.run = [&app, parts] {
      auto session = Session::read(app);
      if (!session) return app.io.report(session.error());
      auto digest = report::digest((*session)->store(), (*session)->names());
      if (!digest) return app.io.report(digest.error());
      if (*parts) {
        for (const auto& part : digest->parts) {
          app.io.out(fmt::format("{:016x}{:016x}  {:<10} {}\n", part.hi, part.lo, part.name,
                                 part.records));
        }
      }
      app.io.out(fmt::format("{:016x}{:016x}\n", digest->hi, digest->lo));
      return 0;
    };
  });
}

}  // namespace bounced::cli
