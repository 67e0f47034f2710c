// Monaco reads its workers when it is first imported, so they are set up before everything else.
import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './playground.css';

import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { useEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Bar } from './bar.jsx';
import { connect } from './connection.js';
import { kept, restored, tokenFromAddress, withToken } from './people.js';
import { Asking, FIRST_QUESTIONS, firstQuestion } from './questions.jsx';

const PLUGINS = [FIRST_QUESTIONS, HISTORY_PLUGIN];

function arrived(people) {
  const token = tokenFromAddress();
  return token ? kept(withToken(people, token)) : people;
}

const AT_START = arrived(restored());

/** The people and their tokens, kept in this tab; a link with a token opened in it counts at once. */
function usePeople() {
  const [people, setPeople] = useState(AT_START);
  useEffect(() => {
    const take = () => setPeople(arrived(restored()));
    addEventListener('hashchange', take);
    return () => removeEventListener('hashchange', take);
  }, []);
  return [people, (next) => setPeople(kept(next))];
}

function Playground() {
  const [people, setPeople] = usePeople();
  const token = people.tokens[people.chosen] ?? '';
  const connection = useMemo(() => connect(token), [token]);
  useEffect(() => connection.close, [connection]);
  return (
    <Asking value={{ people, setPeople }}>
      <Bar people={people} setPeople={setPeople} />
      <GraphiQL
        fetcher={connection.fetcher}
        plugins={PLUGINS}
        visiblePlugin={FIRST_QUESTIONS}
        defaultQuery={firstQuestion(AT_START)}
        isHeadersEditorEnabled={false}
        defaultEditorToolsVisibility={false}
      >
        <GraphiQL.Logo>
          <code className="endpoint">/graphql</code>
        </GraphiQL.Logo>
      </GraphiQL>
    </Asking>
  );
}

createRoot(document.getElementById('playground')).render(<Playground />);
