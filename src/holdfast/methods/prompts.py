"""Everyday prompts that a base answers before training, to rehearse its answers; none of them is an item of `general`.

They cover what an instruction model is used for and fine-tuning changes first: the form of an answer, instructions with
limits, questions of fact, sums, short texts, code, and ordinary talk.
"""

from __future__ import annotations

PROMPTS = tuple(
    line.replace("\\n", "\n").strip()
    for line in r"""
Who wrote Romeo and Juliet?
Explain in two sentences why the sky is blue.
Give me three tips for sleeping better.
What is the largest planet in the solar system?
Translate into French: Good morning, how are you?
Write a haiku about the sea.
Is a whale a fish? Reply with yes or no.
What is 14 plus 29?
List four fruits, separated by commas.
Rewrite this politely: Send me the file now.
Write a Python function that returns the larger of two numbers.
Which language is spoken in Brazil?
Summarize briefly: The council voted to repair the bridge that a flood had closed. The work will take a year.
Is this review positive or negative? "The soup was cold and the waiter was rude."
Write a short e-mail to a teacher that asks for one more day for the homework.
Return a JSON object with the keys "name" and "age" for Maria, who is 31.
What do bees make?
Correct the spelling: I recieved you're mesage yesturday.
How many legs do three dogs have in all?
Who painted the Mona Lisa?
Reply with a single word: what is frozen water called?
Name the four seasons as a numbered list.
What is the chemical formula of water?
Give an example of a metaphor.
What comes next: 2, 4, 8, 16?
Write one line in capital letters that welcomes guests.
Explain what a variable is to a ten-year-old.
What is the difference between a lake and a river?
Write a slogan for a bakery in fewer than eight words.
A train leaves at 9:15 and arrives at 11:00. How long is the trip?
Extract the date from this text: The workshop takes place on May 4, 2021, in room 12.
Which is heavier, a kilogram of iron or a kilogram of feathers?
What does the word "rapid" mean?
Write two rhyming lines about a cat.
Sort these numbers from small to large: 17, 3, 42, 9.
What should I pack for a weekend in the mountains?
Which ocean lies between Europe and America?
Answer in exactly three words: how do plants get energy?
Turn this into a question: The store opens at nine.
Fix the bug in this Python code:\n\nfor i in range(5)\n    print(i)
What is the past tense of "run"?
Anna has 12 apples and gives away 5. How many does she have left?
Describe the taste of a lemon.
Who was the first person to walk on the moon?
Give two reasons to learn a second language.
Is the sentence "She go to school" correct? Answer yes or no.
Convert 3 kilometers to meters.
Write a tweet about the first snow of the year.
How do I boil an egg?
Put these words in alphabetical order: pear, apple, melon, fig.
What is a synonym for "happy"?
Which gas do people need to breathe?
Paul is taller than Tom. Tom is taller than Ben. Who is the shortest?
Write an SQL query that selects all rows from the table users.
What does HTML stand for?
Tell me a short joke.
Return a JSON list of the first five even numbers. Give me only the JSON.
Text: Nora moved to Lisbon in March to work as a nurse. Her brother stayed in Porto.\nQuestion: Where does Nora live?
What is the boiling point of water in degrees Celsius?
Write a polite refusal to a dinner invitation.
What is 9 times 7? Give only the result.
Name a country in Africa.
Which season comes after summer?
Explain the rule of three in mathematics with an example.
Write the sentence "Dogs like to run" in the past tense.
Is 21 a prime number? Explain briefly.
Give me a title for a story about a lost key.
Which animal is known as the king of the jungle?
What is photosynthesis?
Classify the animal as mammal, bird or fish: penguin.
Write three sentences about your favorite season. Do not use the word "sun".
What is the plural of "child"?
How do I reverse a list in Python?
Begin your answer with "Sure" and name a color.
In which year did the Second World War end?
What time is it two hours after 11:30 in the morning?
Make this sentence shorter: Due to the fact that it was raining, we made the decision to stay at home.
What is the square root of 81?
List the steps to make a cup of tea.
Which of these does not belong: chair, table, banana, sofa?
Write a comment for this code: total = sum(prices) * 1.2
What is the opposite of "generous"?
Can you recommend a book for a long flight?
Text: The museum opens at ten and closes at six, but not on Mondays.\nQuestion: When does it close on Fridays?
Who discovered penicillin?
What does "break the ice" mean?
Translate into Spanish: Where is the station?
Repeat after me: The quick brown fox.
How many minutes are in a quarter of an hour?
Give a one-sentence definition of democracy.
What does this command do: ls -l
Write a birthday wish for a friend.
Which metal is liquid at room temperature?
If all cats are animals and Mia is a cat, is Mia an animal?
Give the answer as a bullet list with two items: which colors make green?
I feel tired today. What can I do?
Write a regular expression that matches a five-digit number.
What is the main idea of this text? Neighbors who share a drill or a ladder buy less and throw away less.
Complete the sentence: The early bird catches
Thank you for your help!
""".strip().splitlines()
)
"""A hundred prompts."""
