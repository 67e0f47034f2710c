import { defineConfig } from 'vite';

// Relative addresses let the folder be served from any path; the size of the editor is known and accepted.
export default defineConfig({
  base: './',
  worker: { format: 'es' },
  build: { chunkSizeWarningLimit: 8000, emptyOutDir: true },
});
