// The list beside the editor: each role's first questions, ready to be asked.
import { useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { createContext, useContext } from 'react';
import { PEOPLE } from './people.js';

const FILES = import.meta.glob('../questions/*/*.graphql', { query: '?raw', import: 'default', eager: true });

export const Asking = createContext({ people: { chosen: '', tokens: {} }, setPeople: () => {} });

const QUESTIONS = Object.entries(FILES)
  .sort(([one], [other]) => one.localeCompare(other))
  .map(([path, text]) => ({
    role: path.split('/').at(-2),
    title: text.split('\n', 1)[0].replace(/^#\s*/, ''),
    live: /^subscription\b/m.test(text),
    text: text.trim() + '\n',
  }));

/** What the editor opens with: the first question of whoever asks. */
export function firstQuestion(people) {
  const asked = PEOPLE.find(({ id }) => id === people.chosen)?.role ?? 'household';
  return QUESTIONS.find(({ role }) => role === asked)?.text ?? QUESTIONS[0].text;
}

const ANYONE = { id: '', name: 'Anyone', part: 'with any token', role: 'everyone' };

const GROUPS = [ANYONE, ...PEOPLE]
  .filter(({ role }, at, all) => at === all.findIndex((person) => person.role === role))
  .map((person) => ({ person, questions: QUESTIONS.filter(({ role }) => role === person.role) }))
  .filter(({ questions }) => questions.length > 0);

const isUntouched = (text) => !text.trim() || QUESTIONS.some((question) => question.text === text);

/** Puts a question into the editor: in the tab that has it, over an untouched one, else in a new tab. */
function useOpen() {
  const tabs = useGraphiQL((state) => state.tabs);
  const editor = useGraphiQL((state) => state.queryEditor);
  const answer = useGraphiQL((state) => state.responseEditor);
  const { addTab, changeTab, stop } = useGraphiQLActions();
  return (text) => {
    const at = tabs.findIndex((tab) => tab.query === text);
    if (at >= 0) return changeTab(at);
    stop();
    if (!isUntouched(editor?.getValue() ?? '')) addTab();
    answer?.setValue('');
    return editor?.setValue(text);
  };
}

function Group({ person, questions, inEditor, onOpen }) {
  return (
    <section className="questions-group">
      <h3>
        {person.name} <small>{person.part}</small>
      </h3>
      <ul>
        {questions.map((question) => (
          <li key={question.title}>
            <button
              type="button"
              aria-current={question.text === inEditor}
              onClick={() => onOpen(question)}
            >
              {question.title}
              {question.live && <em>live</em>}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Questions() {
  const { people, setPeople } = useContext(Asking);
  const inEditor = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.query);
  const open = useOpen();
  const ask = (person) => (question) => {
    const asker = PEOPLE.find(({ id }) => id === people.chosen);
    if (people.tokens[person.id] && asker?.role !== person.role) setPeople({ ...people, chosen: person.id });
    open(question.text);
  };
  return (
    <nav className="questions" aria-label="First questions">
      <h2>First questions</h2>
      <p>Choose one and press the green button.</p>
      {GROUPS.map(({ person, questions }) => (
        <Group
          key={person.id}
          person={person}
          questions={questions}
          inEditor={inEditor}
          onOpen={ask(person)}
        />
      ))}
    </nav>
  );
}

function Icon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round">
      <circle cx="12" cy="12" r="9" />
      <path d="M9.4 9.3a2.7 2.7 0 1 1 3.9 2.6c-.9.5-1.3 1-1.3 2" />
      <path d="M12 17h.01" strokeWidth="2" />
    </svg>
  );
}

export const FIRST_QUESTIONS = { title: 'First questions', icon: Icon, content: Questions };
