// One way to the gateway: queries over HTTP, subscriptions over graphql-transport-ws, both with the same token.
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { createClient } from 'graphql-ws';

const RETRIES = 5;

export function connect(token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const address = new URL('/graphql', location.href);
  const wsClient = createClient({
    url: address.href.replace(/^http/, 'ws'),
    connectionParams: headers,
    retryAttempts: RETRIES,
  });
  const fetcher = createGraphiQLFetcher({
    url: address.href,
    headers,
    wsClient,
    enableIncrementalDelivery: false,
  });
  return { fetcher, close: () => wsClient.dispose() };
}
