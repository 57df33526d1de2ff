// bounced deliver: one mail from an MTA's pipe; accepted only when it is durable.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "cli/app.h"
#include "cli/mail_input.h"
#include "ingest/mailbox.h"

namespace bounced::cli {
namespace {

/// EX_NOINPUT of sysexits.h.
constexpr int kNoInput = 66;

/// All of the descriptor; what is over the limit is read and left out. Errors: io, cancelled.
Result<std::string> read_mail(const App& app) {
  std::string mail;
  char bytes[16384];
  for (;;) {
    pollfd p{app.io.in_fd(), POLLIN, 0};
    const int ready = ::poll(&p, 1, 200);
    if (app.cancelled && app.cancelled()) {
      return fail(ErrorCode::cancelled, "deliver", "stdin", "called off before the mail was read");
    }
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t got = ::read(app.io.in_fd(), bytes, sizeof bytes);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return fail(ErrorCode::io, "deliver", "stdin", std::strerror(errno));
    if (got == 0) return mail;
    const std::size_t room = ingest::MailReader::kBytesMax - mail.size();
    mail.append(bytes, std::min(room, static_cast<std::size_t>(got)));
  }
}

Result<void> take(pipeline::Engine& engine, const pipeline::Options& options,
                  std::string_view mail) {
  const parse::Context context = mail_context(engine, options);
  MailBatch mails(context);
  mails.add(mail, 0, system_clock().now_us());
  if (mails.batch().events.empty()) return {};  // nothing that concerns us
  auto source = mail_source(engine);
  if (!source) return tl::unexpected(source.error());
  return engine.accept(*source, mails.batch());
}

int deliver(App& app) {
  auto config = app.config();
  if (!config) return failed(app, config.error());
  auto mail = read_mail(app);
  if (!mail) return failed(app, mail.error());
  if (mail->empty()) {
    app.io.notice("deliver: stdin: there is no mail");
    return kNoInput;
  }
  const pipeline::Options options = engine_options(*config);
  if (app.live != nullptr) {
    auto taken = take(*app.live, options, *mail);
    return taken ? 0 : failed(app, taken.error());
  }
  auto engine = pipeline::Engine::open(options);
  if (!engine) return failed(app, engine.error());
  auto taken = take(**engine, options, *mail);
  auto stopped = (*engine)->stop();
  if (!taken) return failed(app, taken.error());
  // Accepted is durable: what could not be applied yet is applied by the next start.
  if (!stopped) app.io.report(stopped.error());
  return 0;
}

}  // namespace

void add_deliver(CLI::App& parser, App& app) {
  CLI::App* command =
      parser.add_subcommand("deliver", "take one mail that came back from stdin (an MTA's pipe)");
  examples(
      *command,
      "  bounced deliver --data /var/lib/bounced < bounce.eml\n"
      "  Postfix, master.cf:\n"
      "    bounced unix - n n - 4 pipe user=bounced argv=/usr/bin/bounced deliver\n"
      "      --data /var/lib/bounced\n"
      "  Exim, transport: driver = pipe, command = /usr/bin/bounced deliver --data "
      "/var/lib/bounced\n\n"
      "Delivery status notifications, non-delivery reports in prose, feedback reports and\n"
      "unsubscriptions become events; other mail is taken and ignored. They change an address\n"
      "only when they match a message that was sent ([mail] in the configuration).\n"
      "Exit status (sysexits.h): 0 the mail is durable, or of no interest; 66 no mail;\n"
      "75 try again later: nothing was taken.");
  command->callback([&app] {
    app.forwardable = true;
    app.delivers = true;
    app.run = [&app] { return deliver(app); };
  });
}

}  // namespace bounced::cli
