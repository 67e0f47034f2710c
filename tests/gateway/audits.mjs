// Runs the audits of the npm package graphql-http against a server and prints each as a JSON line.
import { serverAudits } from 'graphql-http';

const url = process.argv[2];
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const { name, status, reason } = await audit.fn();
  console.log(JSON.stringify({ id: audit.id, name, status, reason: reason ?? null }));
}
