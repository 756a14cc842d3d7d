"""One's own photos protected: the smallest change that meets a target, judged by attackers who know the tool.

`background` trains predictors and attackers on imaginary people, by stages of a scenario; `judge` says what attackers
make of a face; `strength` chooses the change; `files` does it to files, one after the other, and writes down what was
done.
"""
